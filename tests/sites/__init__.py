"""Realtime added to well-known Django projects from PyPI: `make test-sites` (some minutes)."""
