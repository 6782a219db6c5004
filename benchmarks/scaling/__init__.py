"""
Past one machine, on paper: what processes, layers and databases carry, from measured figures.

`costs` reads what was measured, `simulation` lets clients come, go and speak, `needs` says what
that takes, and `tables` writes it down. Run it: ``python -m benchmarks.scaling``.
"""
