"""A stateful stand-in for Stripe's API, for demo, tests and load."""
