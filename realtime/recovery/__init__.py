"""
Clients that drop and come back: what they missed, and who they were.

It imports sockets, the cluster and what is below; the hub imports it.
"""
