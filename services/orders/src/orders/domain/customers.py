"""Owners of Stripe customers."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CustomerOwner:
    """User and currency that a Stripe customer belongs to."""

    user_id: str
    currency: str
    """ISO 4217, lower case."""
