// Reads cases as JSON on stdin and writes, for each, whether the library of its style accepts it.

import { readFileSync } from "node:fs";
import { verify as verifyHex } from "@octokit/webhooks-methods";
import { Webhook } from "standardwebhooks";
import Stripe from "stripe";

const WINDOW_S = 300;

const accepts = {
  standard: (it) => (it.any_time ? acceptsEver(it) : new Webhook(it.secret).verify(it.body, it.headers)),
  timestamped: (it) => Stripe.webhooks.constructEvent(it.body, it.signature, it.secret, it.any_time ? 1e10 : WINDOW_S),
  hex: async (it) => {
    if (!(await verifyHex(it.secret, it.body, it.signature))) throw new Error("refused");
  },
};

// The library has no way to leave the time out: what it signs itself must be among the signatures.
function acceptsEver({ secret, body, headers, signature }) {
  const at = new Date(Number(headers["webhook-timestamp"]) * 1000);
  if (!signature.split(" ").includes(new Webhook(secret).sign(headers["webhook-id"], at, body))) throw new Error("refused");
}

const answers = [];
for (const it of JSON.parse(readFileSync(0, "utf8"))) {
  try {
    await accepts[it.style](it);
    answers.push(true);
  } catch {
    answers.push(false);
  }
}
process.stdout.write(JSON.stringify(answers));
