"""Checkout use cases: initiate, complete, status, supersede."""
