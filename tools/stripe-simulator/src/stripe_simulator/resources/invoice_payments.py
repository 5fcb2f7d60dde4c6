"""Payments of invoices (https://docs.stripe.com/api/invoice-payment)."""

from typing import Final

import stripe.params as shapes

from stripe_simulator.account import Account
from stripe_simulator.collection import StripeObject, created_within, equal_to, every
from stripe_simulator.endpoints import Call, Endpoint, Resource
from stripe_simulator.parameters import Parameters

COLLECTION: Final = "invoice_payments"
KIND: Final = "invoice_payment"


def add(account: Account, invoice: StripeObject, intent: StripeObject) -> None:
    """Store the default payment of a finalized invoice. Stripe publishes no event for it."""
    payment = account[COLLECTION].add(
        {
            "id": account.ids.new("inpay"),
            "object": KIND,
            "amount_paid": None,
            "amount_requested": intent["amount"],
            "created": account.clock.timestamp(),
            "currency": invoice["currency"],
            "invoice": invoice["id"],
            "is_default": True,
            "livemode": account.livemode,
            "payment": {"payment_intent": intent["id"], "type": "payment_intent"},
            "status": "open",
            "status_transitions": {"canceled_at": None, "paid_at": None},
        }
    )
    account.secrets[f"payment_of:{invoice['id']}"] = payment["id"]
    _show(account, payment)


def mark_paid(account: Account, invoice_id: str) -> None:
    """Record that the invoice's payment intent succeeded."""
    if payment := _of(account, invoice_id):
        transitions = payment["status_transitions"] | {"paid_at": account.clock.timestamp()}
        changes = {"amount_paid": payment["amount_requested"], "status_transitions": transitions}
        _show(account, account.change(COLLECTION, payment, "invoice_payment.paid", status="paid", **changes))


def mark_canceled(account: Account, invoice_id: str) -> None:
    """Record that the invoice is void. Stripe publishes no event for it."""
    if payment := _of(account, invoice_id):
        transitions = payment["status_transitions"] | {"canceled_at": account.clock.timestamp()}
        _show(account, account.change(COLLECTION, payment, status="canceled", status_transitions=transitions))


def _of(account: Account, invoice_id: str) -> StripeObject | None:
    return account[COLLECTION].find(account.secrets.get(f"payment_of:{invoice_id}", ""))


def _show(account: Account, payment: StripeObject) -> None:
    """Set the invoice's `payments`, which only expansion shows."""
    url = f"/v1/invoice_payments?invoice={payment['invoice']}"
    shown = {"object": "list", "data": [payment], "has_more": False, "url": url}
    account.includable[payment["invoice"], "payments"] = shown


def _retrieve(call: Call) -> StripeObject:
    return call.account[COLLECTION].get(call.id)


def _list(call: Call) -> StripeObject:
    intent = call.params.get("payment", {}).get("payment_intent")
    wanted = every(
        created_within(call.params),
        equal_to(call.params, "invoice", "status"),
        lambda payment: intent in (None, payment["payment"]["payment_intent"]),
    )
    return call.account[COLLECTION].page(call.url, call.params, wanted)


_FILTERS = ("created", "invoice", "payment", "status", "limit", "starting_after", "ending_before")

RESOURCE = Resource(
    collection=COLLECTION,
    kind=KIND,
    expandable={"invoice": "invoices"},
    endpoints=(
        Endpoint("GET", "/v1/invoice_payments", _list, Parameters(shapes.InvoicePaymentListParams, _FILTERS)),
        Endpoint("GET", "/v1/invoice_payments/{id}", _retrieve, Parameters(shapes.InvoicePaymentRetrieveParams, ())),
    ),
)
