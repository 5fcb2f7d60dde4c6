"""Filters of lists by another object, which has to exist."""

from collections.abc import Mapping
from typing import Final

from stripe_simulator.account import Account
from stripe_simulator.parameters import Params

_COLLECTIONS: Final[Mapping[str, str]] = {
    "charge": "charges",
    "customer": "customers",
    "invoice": "invoices",
    "payment_intent": "payment_intents",
    "price": "prices",
    "product": "products",
    "subscription": "subscriptions",
}


def check_filters(account: Account, params: Params) -> None:
    """Refuse a list for an object that does not exist, such as a customer. A deleted one has a history."""
    for name in _COLLECTIONS.keys() & params.keys():
        wanted = params[name]
        if wanted not in account.tombstones:
            account[_COLLECTIONS[name]].get(wanted, param=name, status=400)
