"""
Clients that come, go and drop at random on servers that are restarted and killed.

``python -m tests.recovery.chaos --seconds 600 --seed 1`` runs it, and says whether every client
got what it was promised. The seed chooses what is done; how things meet in time is the machine's.
"""
