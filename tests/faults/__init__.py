"""Checkouts under faults of every kind, and a checker that shares no code with the services.

The driver buys like thousands of browsers, a seeded schedule of faults strikes meanwhile, and afterwards the checker
compares the states of Stripe, Redis and PostgreSQL with what the driver saw. Nothing here imports service code.
"""
