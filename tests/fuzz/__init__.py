"""Hostile input for every edge of the running system, and what must hold whatever is sent.

`make fuzz` runs it for long, `make test` a short form that is the same every time.
"""
