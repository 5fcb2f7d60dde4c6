"""Harness of the end-to-end tests: the running system, faults between its parts, its users and operators.

Nothing here imports a service: the system is reached as a user, an operator or Stripe would reach it.
"""
