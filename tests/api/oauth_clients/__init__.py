"""Clients that others wrote, against our authorization server: they know its address and what RFCs say."""
