"""Plain calls to clients, and what becomes of them."""
