"""Event types: the catalogue, and those that organizations define."""
