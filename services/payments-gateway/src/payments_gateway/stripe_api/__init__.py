"""Clients of Stripe's API."""
