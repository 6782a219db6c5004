"""Sending from processes that serve no clients, to a client of one that does."""
