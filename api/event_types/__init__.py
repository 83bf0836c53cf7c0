"""Event types: the catalogue, built in and an organization's own."""
