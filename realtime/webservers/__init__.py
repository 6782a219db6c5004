"""
What is particular to daphne and uvicorn: frames are read from and written to their transports.

It imports `protocol`, `execution` and `sockets`; what it needs of connections stands in
`interfaces`. Transports import it.
"""
