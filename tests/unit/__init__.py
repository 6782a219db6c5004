"""Tests of each module in this process: no server, no network."""
