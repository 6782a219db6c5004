"""
Where the application is mounted: the applications around it, paths, and static files.

It imports `routing`, `transports` and `conf`; the application, checks and templates import it.
"""
