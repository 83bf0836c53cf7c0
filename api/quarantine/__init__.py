"""Records that nobody could read, for the operator."""
