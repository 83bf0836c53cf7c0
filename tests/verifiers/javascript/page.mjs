// Reads cases as JSON on stdin and writes, for each, whether the example of docs/signatures.md accepts it.

import { readFileSync } from "node:fs";

const answers = [];
for (const it of JSON.parse(readFileSync(0, "utf8"))) {
  process.env.WEBHOOK_SECRET = it.secret;
  const { verify } = await import(`./${it.style}.mjs`);
  try {
    verify(it.body, it.headers);
    answers.push(true);
  } catch {
    answers.push(false);
  }
}
process.stdout.write(JSON.stringify(answers));
