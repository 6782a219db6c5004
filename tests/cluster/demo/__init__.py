"""The demo from several processes."""
