"""Purchases, orders, subscriptions and refunds; no I/O."""
