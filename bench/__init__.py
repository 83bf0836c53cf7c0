"""Benchmarks, not tests: they print figures, with the limit of the machine measured in the same run."""
