"""One process: what it serves, and its end."""
