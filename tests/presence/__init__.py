"""Presence, seen from outside: several servers, real databases, and what goes wrong with them."""
