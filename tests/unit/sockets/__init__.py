"""One socket's life."""
