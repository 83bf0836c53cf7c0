"""`Idempotency-Key`: a POST that is sent again gets the answer of the first."""
