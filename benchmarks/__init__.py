"""The benchmarks: `make bench`. See README.md here."""
