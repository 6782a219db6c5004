"""Several processes, on a real Valkey."""
