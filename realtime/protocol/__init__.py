"""
The wire formats, sans-I/O: no Django, no await, nothing but text, bytes and packets.

It imports `exceptions`; everything that reads or writes what travels imports it.
"""
