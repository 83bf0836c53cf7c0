"""Signatures judged by libraries of others: Python's in `make test`, JavaScript's and Go's in `make verifiers` too."""
