"""Invoices of subscriptions (https://docs.stripe.com/api/invoices)."""

import stripe.params as shapes

from stripe_simulator.billing.objects import INVOICES
from stripe_simulator.collection import StripeObject, created_within, equal_to, every
from stripe_simulator.endpoints import Call, Endpoint, Resource
from stripe_simulator.parameters import Parameters


def _retrieve(call: Call) -> StripeObject:
    return call.account[INVOICES].get(call.id, param="invoice")


def _list(call: Call) -> StripeObject:
    wanted_subscription = call.params.get("subscription")
    wanted = every(
        created_within(call.params),
        equal_to(call.params, "customer", "status"),
        lambda invoice: wanted_subscription in (None, invoice["parent"]["subscription_details"]["subscription"]),
    )
    return call.account[INVOICES].page(call.url, call.params, wanted)


_FILTERS = ("created", "customer", "status", "subscription", "limit", "starting_after", "ending_before")

RESOURCE = Resource(
    collection=INVOICES,
    kind="invoice",
    expandable={
        "confirmation_secret": None,
        "customer": "customers",
        "discounts": "discounts",
        "payments": None,
    },
    endpoints=(
        Endpoint("GET", "/v1/invoices", _list, Parameters(shapes.InvoiceListParams, _FILTERS)),
        Endpoint("GET", "/v1/invoices/{id}", _retrieve, Parameters(shapes.InvoiceRetrieveParams, ())),
    ),
)
