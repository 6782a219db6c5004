"""
The other processes: one channel for this one, groups for rooms, and what hubs say to each other.

It imports `protocol`, `execution` and the messages of `sockets`; the hub imports it, and senders
without a hub.
"""
