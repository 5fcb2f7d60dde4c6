"""Invoices of subscriptions (https://docs.stripe.com/api/invoices)."""

import stripe.params as shapes

from stripe_simulator.api_errors import ApiError, invalid
from stripe_simulator.billing.finalization import finalize_in_an_hour, open_for_payment
from stripe_simulator.billing.invoices import is_processing, mark_uncollectible, void
from stripe_simulator.billing.objects import INVOICES, subscription_of, usable_method
from stripe_simulator.billing.payments import charge, on_voided, recover
from stripe_simulator.collection import StripeObject, created_within, equal_to, every
from stripe_simulator.endpoints import Call, Endpoint, Resource
from stripe_simulator.parameters import Parameters, Params, merge_metadata
from stripe_simulator.resources.new_subscription import checked_method, no_payment_method


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


def _update(call: Call) -> StripeObject:
    """Change metadata, or turn the automatic collection of a draft on or off."""
    invoice, params = _retrieve(call), call.params
    if invoice["status"] == "draft" and params.get("auto_advance"):
        call.account["customers"].get(invoice["customer"], param="customer", status=400)
    changes: Params = {}
    if "metadata" in params:
        changes["metadata"] = merge_metadata(invoice["metadata"], params["metadata"])
    if "auto_advance" in params:
        changes["auto_advance"] = params["auto_advance"]
        if not params["auto_advance"]:
            changes |= {"automatically_finalizes_at": None, "next_payment_attempt": None}
    changed = call.account.change(INVOICES, invoice, "invoice.updated", **changes)
    if changed["status"] == "draft" and changed["auto_advance"] and not invoice["auto_advance"]:
        finalize_in_an_hour(call.account, changed)
    return _retrieve(call)


def _pay(call: Call) -> StripeObject:
    """Charge an open invoice, or a draft that is finalized first."""
    account, invoice = call.account, _retrieve(call)
    if invoice["status"] == "draft":
        invoice = open_for_payment(account, invoice["id"])
        if invoice["status"] == "paid":
            return invoice
    if invoice["status"] == "paid":
        raise invalid("Invoice is already paid")  # without a code: https://github.com/twentyhq/twenty/pull/22705
    _check_unpaid(invoice)
    method = checked_method(account, invoice["customer"], call.params.get("payment_method"))
    if method is None:
        usable = usable_method(account, subscription_of(account, invoice))
        if usable is None:
            raise no_payment_method()
        method = usable["id"]
    intent = charge(account, invoice["id"], method)
    if intent["status"] == "requires_action":
        raise _action_required()
    return _retrieve(call)


def _void(call: Call) -> StripeObject:
    invoice = _retrieve(call)
    _check_unpaid(invoice)
    if is_processing(call.account, invoice["id"]):
        # Part of Stripe's words: https://github.com/useautumn/autumn/pull/2239
        raise invalid("This invoice cannot be voided: it has pending payments waiting to clear.")
    void(call.account, invoice)
    on_voided(call.account, invoice)
    return _retrieve(call)


def _mark_uncollectible(call: Call) -> StripeObject:
    invoice = _retrieve(call)
    _check_unpaid(invoice)
    mark_uncollectible(call.account, invoice)
    recover(call.account, invoice)
    return _retrieve(call)


def _check_unpaid(invoice: StripeObject) -> None:
    if invoice["status"] not in ("open", "uncollectible"):
        raise invalid(f"This invoice has a status of {invoice['status']}: only an open or uncollectible one will do.")


def _action_required() -> ApiError:
    """Build the 402 of https://docs.stripe.com/error-codes#invoice-payment-intent-requires-action."""
    return ApiError(
        402,
        "This payment requires additional user action before it can be completed successfully. Payment can be "
        "completed using the PaymentIntent associated with the invoice.",
        kind="card_error",
        code="invoice_payment_intent_requires_action",
    )


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
        Endpoint(
            "POST", "/v1/invoices/{id}", _update, Parameters(shapes.InvoiceUpdateParams, ("auto_advance", "metadata"))
        ),
        Endpoint("POST", "/v1/invoices/{id}/pay", _pay, Parameters(shapes.InvoicePayParams, ("payment_method",))),
        Endpoint("POST", "/v1/invoices/{id}/void", _void, Parameters(shapes.InvoiceVoidInvoiceParams, ())),
        Endpoint(
            "POST",
            "/v1/invoices/{id}/mark_uncollectible",
            _mark_uncollectible,
            Parameters(shapes.InvoiceMarkUncollectibleParams, ()),
        ),
    ),
)
