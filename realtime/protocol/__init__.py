"""The wire formats, sans-I/O: no Django, no await, nothing but text, bytes and packets."""
