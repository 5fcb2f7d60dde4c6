"""What the end-to-end tests stand on: the running system, faults between its parts, its users and its operators.

Nothing here imports a service: the system is reached as a user, an operator or Stripe would reach it.
"""
