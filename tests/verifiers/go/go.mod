module hookline/verifiers

go 1.24.0

require (
	github.com/google/go-github/v75 v75.0.0
	github.com/standard-webhooks/standard-webhooks/libraries v0.0.1
	github.com/stripe/stripe-go/v82 v82.5.1
)

require github.com/google/go-querystring v1.1.0 // indirect
