"""Restricted API keys with permissions for each resource (https://docs.stripe.com/keys/restricted-api-keys).

GET needs read, POST and DELETE need write, and write includes read. An expanded object needs read too: Stripe says so
of the permissions of apps, which have the same names (https://docs.stripe.com/stripe-apps/reference/permissions).
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final, Literal

from stripe_simulator.api_errors import not_permitted

if TYPE_CHECKING:
    from stripe_simulator.endpoints import Resource

Permission = Literal["none", "read", "write"]
Permissions = Mapping[str, Permission]

_NAMES: Final = {
    "billing_portal.configuration": "customer_portal",
    "billing_portal.session": "customer_portal",
    "discount": "coupon",
    "invoice_payment": "invoice",
    "invoiceitem": "invoice",
    "price": "plan",
    "refund": "charge",
    "subscription_item": "subscription",
    "webhook_endpoint": "webhook",
}
"""Names of permissions that differ from the object's, as in Stripe's errors: `rak_plan_read` is about prices."""
_SUFFICIENT: Final[Mapping[str, frozenset[Permission]]] = {
    "read": frozenset({"read", "write"}),
    "write": frozenset({"write"}),
}


def permission_names(resources: "Iterable[Resource]") -> frozenset[str]:
    """Return the names of all resources that a key can be restricted to."""
    return frozenset(_name_of(resource.kind) for resource in resources)


def require_permission(shown_key: str, permissions: Permissions, method: str, kind: str) -> None:
    """Raise Stripe's 403 if a key may not use this method on objects of this kind."""
    name, needed = _name_of(kind), "read" if method == "GET" else "write"
    if permissions.get(name, "none") not in _SUFFICIENT[needed]:
        raise not_permitted(shown_key, f"rak_{name}_{needed}")


def _name_of(kind: str) -> str:
    return _NAMES.get(kind, kind)
