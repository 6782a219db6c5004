"""Realtime, as a small Django site."""
