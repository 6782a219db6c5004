"""The demo site with namespaces and settings for tests."""
