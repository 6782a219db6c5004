"""
Processes that serve no clients, and which kind this process is: its hub, or its way to others'.

It imports `hub` and what is below; whoever sends imports it.
"""
