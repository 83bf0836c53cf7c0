"""Events: publishing them over REST, and the log of them."""
