"""
How a site's code is run: in this loop, in tasks that begin at once, and in threads.

It imports `logs` and `utils`; whatever calls a site's code, or blocks, imports it.
"""
