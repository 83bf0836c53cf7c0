"""Roles: built in, and an organization's own."""
