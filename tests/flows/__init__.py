"""Stories across packages, in real processes on real servers."""
