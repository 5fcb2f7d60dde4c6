"""Fuzz tests: malformed and hostile input for every route and rpc of the running system.

`make fuzz` runs them for FUZZ_SECONDS, `make test` a short form with the same inputs every time.
"""
