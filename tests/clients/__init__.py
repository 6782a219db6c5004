"""Tests with real clients against real servers, and the raw clients that they use."""
