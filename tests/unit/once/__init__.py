"""Events that are handled once for each key, with a real database."""
