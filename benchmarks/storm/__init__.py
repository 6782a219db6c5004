"""A reconnect storm: one of several processes is restarted, and its clients all come back."""
