"""Invoice items, here always prorations (https://docs.stripe.com/api/invoiceitems)."""

from typing import Final

import stripe.params as shapes

from stripe_simulator.billing.prorations import INVOICE_ITEMS
from stripe_simulator.collection import StripeObject, equal_to, every
from stripe_simulator.endpoints import Call, Endpoint, Resource
from stripe_simulator.parameters import Parameters

KIND: Final = "invoiceitem"


def _retrieve(call: Call) -> StripeObject:
    return call.account[INVOICE_ITEMS].get(call.id)


def _list(call: Call) -> StripeObject:
    pending = call.params.get("pending")
    wanted = every(
        equal_to(call.params, "customer", "invoice"),
        lambda item: pending is None or pending == (item["invoice"] is None),
    )
    return call.account[INVOICE_ITEMS].page(call.url, call.params, wanted)


_FILTERS = ("customer", "invoice", "pending", "limit", "starting_after", "ending_before")

RESOURCE = Resource(
    collection=INVOICE_ITEMS,
    kind=KIND,
    expandable={"customer": "customers", "invoice": "invoices"},
    endpoints=(
        Endpoint("GET", "/v1/invoiceitems", _list, Parameters(shapes.InvoiceItemListParams, _FILTERS)),
        Endpoint("GET", "/v1/invoiceitems/{id}", _retrieve, Parameters(shapes.InvoiceItemRetrieveParams, ())),
    ),
)
