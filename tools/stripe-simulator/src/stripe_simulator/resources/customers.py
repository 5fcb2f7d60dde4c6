"""Customers (https://docs.stripe.com/api/customers)."""

import re

import stripe.params as shapes

from stripe_simulator.account import Account
from stripe_simulator.api_errors import invalid
from stripe_simulator.billing.endings import cancel_all_of
from stripe_simulator.collection import ABSENT, StripeObject, created_within, equal_to, every, without_absent
from stripe_simulator.endpoints import Call, Endpoint, Resource
from stripe_simulator.parameters import Parameters, Params, merge_metadata
from stripe_simulator.resources.nested_objects import to_address, to_shipping
from stripe_simulator.resources.payment_methods import mark_spent

COLLECTION = "customers"
KIND = "customer"
_MAX_EMAIL_LENGTH = 512
_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")
_TEXTS = ("description", "name", "phone")
_OPTIONAL_TEXTS = ("business_name", "individual_name")
"""Absent where not set. The other texts are null."""


def _create(call: Call) -> StripeObject:
    account, params = call.account, call.params
    customer: StripeObject = {
        "id": account.ids.new("cus"),
        "object": KIND,
        "balance": 0,
        "created": account.clock.timestamp(),
        "currency": None,
        "customer_account": None,
        "default_source": None,
        "delinquent": False,
        "discount": None,
        "invoice_settings": _invoice_settings(None),
        "livemode": account.livemode,
        "next_invoice_sequence": 1,
        "preferred_locales": [],
        "tax_exempt": "none",
        "test_clock": None,
        "metadata": {},
        "address": None,
        "email": None,
        "shipping": None,
    } | dict.fromkeys(_TEXTS)
    _check_default_method(account, customer["id"], params)
    customer = without_absent(customer | _changes(customer, params))
    customer["invoice_prefix"] = account.ids.fingerprint()[:8].upper()
    account[COLLECTION].add(customer)
    account.publish("customer.created", customer)
    return customer


def _changes(customer: StripeObject, params: Params) -> Params:
    """Return the fields that the parameters change. An empty string unsets one."""
    changes: Params = {name: params[name] or None for name in _TEXTS if name in params}
    changes |= {name: params[name] or ABSENT for name in _OPTIONAL_TEXTS if name in params}
    if "email" in params:
        changes["email"] = _checked_email(params["email"])
    if "address" in params:
        changes["address"] = to_address(params["address"]) if params["address"] else None
    if "shipping" in params:
        changes["shipping"] = to_shipping(params["shipping"])
    if "metadata" in params:
        changes["metadata"] = merge_metadata(customer["metadata"], params["metadata"])
    if "invoice_settings" in params:
        changes["invoice_settings"] = _invoice_settings(params["invoice_settings"].get("default_payment_method"))
    return changes


def _check_default_method(account: Account, customer_id: str, params: Params) -> None:
    """Refuse a default payment method that is not attached to the customer."""
    method_id = params.get("invoice_settings", {}).get("default_payment_method")
    param = "invoice_settings[default_payment_method]"
    if method_id and account["payment_methods"].get(method_id, param=param, status=400)["customer"] != customer_id:
        raise invalid(
            f"The customer does not have a payment method with the ID {method_id}. The payment method must be attached "
            "to the customer.",
            param=param,
            code="resource_missing",
        )


def _checked_email(email: str) -> str | None:
    if email and (len(email) > _MAX_EMAIL_LENGTH or not _EMAIL.fullmatch(email)):
        raise invalid("Invalid email address", param="email", code="email_invalid")
    return email or None


def _invoice_settings(default_payment_method: str | None) -> StripeObject:
    return {
        "custom_fields": None,
        "default_payment_method": default_payment_method or None,
        "footer": None,
        "rendering_options": None,
    }


def _retrieve(call: Call) -> StripeObject:
    """Return the customer, or the tombstone of a deleted one."""
    return call.account.tombstones.get(call.id) or call.account[COLLECTION].get(call.id)


def _update(call: Call) -> StripeObject:
    customer = call.account[COLLECTION].get(call.id)
    changes = _changes(customer, call.params)
    _check_default_method(call.account, call.id, call.params)
    return call.account.change(COLLECTION, customer, "customer.updated", **changes)


def _delete(call: Call) -> StripeObject:
    """Delete a customer, with the subscriptions. Payment methods cannot be used again."""
    account = call.account
    account[COLLECTION].get(call.id)
    cancel_all_of(account, call.id)
    for method in account["payment_methods"]:
        if method["customer"] == call.id:
            mark_spent(account, method["id"])
            account.change("payment_methods", method, customer=None)
    customer = account[COLLECTION].get(call.id)
    account[COLLECTION].remove(call.id)
    account.publish("customer.deleted", customer)
    tombstone: StripeObject = {"id": call.id, "object": KIND, "deleted": True}
    account.tombstones[call.id] = tombstone
    return tombstone


def _list(call: Call) -> StripeObject:
    matches = every(created_within(call.params), equal_to(call.params, "email"))
    return call.account[COLLECTION].page(call.url, call.params, matches)


_SETTABLE = (*_TEXTS, *_OPTIONAL_TEXTS, "address", "email", "invoice_settings", "metadata", "shipping")
_CREATE = Parameters(shapes.CustomerCreateParams, _SETTABLE)
_LIST = Parameters(shapes.CustomerListParams, ("created", "email", "limit", "starting_after", "ending_before"))

RESOURCE = Resource(
    collection=COLLECTION,
    kind=KIND,
    expandable={},
    endpoints=(
        Endpoint("POST", "/v1/customers", _create, _CREATE),
        Endpoint("GET", "/v1/customers", _list, _LIST),
        Endpoint("GET", "/v1/customers/{id}", _retrieve, Parameters(shapes.CustomerRetrieveParams, ())),
        Endpoint("POST", "/v1/customers/{id}", _update, Parameters(shapes.CustomerUpdateParams, _SETTABLE)),
        Endpoint("DELETE", "/v1/customers/{id}", _delete, Parameters(shapes.CustomerDeleteParams, ())),
    ),
)
