"""Accounts, their passwords and links."""
