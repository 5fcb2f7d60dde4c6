"""Subscription use cases: activation, sync, cancel."""
