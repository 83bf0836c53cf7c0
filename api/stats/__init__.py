"""Totals: counted while the log is written, so that asking for them reads a few rows."""
