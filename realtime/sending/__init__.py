"""
Plain calls to clients from anywhere: now or after a commit, and what becomes of them.

It imports `outside` and what is below; `broadcast` and `consumers` import it.
"""
