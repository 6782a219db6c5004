"""
Who may be in a namespace, and in its rooms: what a class declares of that, and what follows for one
socket, asked whenever the answer may be another.
"""
