"""Clients of checkout-session and orders."""
