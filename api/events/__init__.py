"""Events: publishing them over REST, and the catalogue of their types."""
