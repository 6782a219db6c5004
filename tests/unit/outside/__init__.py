"""Processes that serve no clients."""
