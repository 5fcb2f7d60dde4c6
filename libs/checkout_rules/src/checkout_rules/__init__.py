"""Limits and rules of carts and fields, the same in every service (ADR 20)."""
