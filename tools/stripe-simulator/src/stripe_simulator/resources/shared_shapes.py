"""Parts that several of Stripe's objects share."""

from typing import Any

from stripe_simulator.collection import StripeObject

_ADDRESS_FIELDS = ("city", "country", "line1", "line2", "postal_code", "state")


def address_of(given: Any) -> StripeObject:
    """Answer an address with every field, null where nothing was given."""
    address = given or {}
    return {name: address.get(name) or None for name in _ADDRESS_FIELDS}


def shipping_of(given: Any) -> StripeObject | None:
    """Answer a shipping hash, or null when it was not given or is being unset."""
    if not given:
        return None
    return {
        "address": address_of(given.get("address")),
        "carrier": given.get("carrier"),
        "name": given.get("name"),
        "phone": given.get("phone") or None,
        "tracking_number": given.get("tracking_number"),
    }
