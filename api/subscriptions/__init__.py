"""Subscriptions: an integrator's endpoint, which events it wants, its secret and its settings."""
