// Reads cases as JSON on stdin and writes, for each, whether the library of its style accepts it.
package main

import (
	"encoding/json"
	"net/http"
	"os"
	"time"

	"github.com/google/go-github/v75/github"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stripe/stripe-go/v82/webhook"
)

type delivery struct {
	Style     string            `json:"style"`
	Secret    string            `json:"secret"`
	Headers   map[string]string `json:"headers"`
	Signature string            `json:"signature"`
	Body      string            `json:"body"`
	AnyTime   bool              `json:"any_time"`
}

const window = 5 * time.Minute

func refused(it delivery) error {
	switch it.Style {
	case "standard":
		verifier, err := standardwebhooks.NewWebhook(it.Secret)
		if err != nil {
			return err
		}
		headers := http.Header{}
		for name, value := range it.Headers {
			headers.Set(name, value)
		}
		if it.AnyTime {
			return verifier.VerifyIgnoringTimestamp([]byte(it.Body), headers)
		}
		return verifier.Verify([]byte(it.Body), headers)
	case "timestamped":
		if it.AnyTime {
			return webhook.ValidatePayloadIgnoringTolerance([]byte(it.Body), it.Signature, it.Secret)
		}
		return webhook.ValidatePayloadWithTolerance([]byte(it.Body), it.Signature, it.Secret, window)
	default:
		return github.ValidateSignature(it.Signature, []byte(it.Body), []byte(it.Secret))
	}
}

func main() {
	var cases []delivery
	if err := json.NewDecoder(os.Stdin).Decode(&cases); err != nil {
		panic(err)
	}
	answers := make([]bool, len(cases))
	for at, it := range cases {
		answers[at] = refused(it) == nil
	}
	if err := json.NewEncoder(os.Stdout).Encode(answers); err != nil {
		panic(err)
	}
}
