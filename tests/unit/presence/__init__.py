"""Presence, with a real database."""
