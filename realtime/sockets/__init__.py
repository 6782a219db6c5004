"""
One socket's life: its handlers and their contract, its events in order, its acknowledgements.

It imports `protocol`, `execution` and `identity`; what it needs of the hub, of connections and of
consumers stands in `interfaces`. Consumers, transports and the hub import it.
"""
