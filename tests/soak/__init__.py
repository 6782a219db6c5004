"""Days of clients that come and go, after which everything is as it was."""
