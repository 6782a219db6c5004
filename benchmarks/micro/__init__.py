"""Micro-benchmarks of the hot functions: `make bench-micro`."""
