"""How the application is put together, and where it is mounted."""
