"""API tokens: what machines call with."""
