"""Sealed values get the current master key, so that an older one can be dropped."""
