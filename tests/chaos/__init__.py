"""Breaks sendcode on purpose, and proves from three records that nothing was lost.

`./dev chaos` runs it. Each row of the table is one kind of fault under a steady load of starts and
checks; what the provider saw, what the database holds and what the client was told are compared at
its end.
"""
