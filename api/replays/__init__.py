"""Sending again: one delivery now, or a chosen set at a rate of its own."""
