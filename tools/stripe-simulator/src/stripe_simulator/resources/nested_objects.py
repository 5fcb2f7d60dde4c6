"""Nested objects that several of Stripe's objects contain."""

from typing import Any

from stripe_simulator.collection import StripeObject

_ADDRESS_FIELDS = ("city", "country", "line1", "line2", "postal_code", "state")


def to_address(given: Any) -> StripeObject:
    """Return an address with all fields, null where not given."""
    address = given or {}
    return {name: address.get(name) or None for name in _ADDRESS_FIELDS}


def to_shipping(given: Any) -> StripeObject | None:
    """Return the shipping details, or null if not given or unset."""
    if not given:
        return None
    return {
        "address": to_address(given.get("address")),
        "carrier": given.get("carrier"),
        "name": given.get("name"),
        "phone": given.get("phone") or None,
        "tracking_number": given.get("tracking_number"),
    }
