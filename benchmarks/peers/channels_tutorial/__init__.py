"""Channels alone, as its tutorial shows it."""
