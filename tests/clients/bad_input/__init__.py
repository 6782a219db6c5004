"""
What a server answers to what it should never get. Beside each of these tests a witness, a client
that behaves, loses nothing and notices nothing, and the server logs no traceback.
"""
