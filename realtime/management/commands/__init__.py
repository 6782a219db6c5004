"""Django looks for commands here: `realtime` is the only one, and has sub-commands."""
