"""
What every wing may use: limits, origins, headers, an event that happens once.

It imports `exceptions` alone.
"""
