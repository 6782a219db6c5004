"""
The wire formats, sans-I/O: no Django's requests, no await, nothing but text, bytes and packets.

It imports `exceptions`; everything that reads or writes what travels imports it.
"""
