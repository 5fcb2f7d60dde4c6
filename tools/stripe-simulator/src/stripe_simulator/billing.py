"""Lifecycle of a subscription: create, charge, renew, retry, cancel.

See https://docs.stripe.com/billing/subscriptions/overview. Each charge is an invoice with a payment intent of its own,
which carries none of the subscription's metadata. Every function takes objects as they are stored and never awaits.
Renewals and retries run on the account's scheduler: advancing the clock by a year runs twelve renewals in order.
"""

from typing import Any, Final

from stripe_simulator import payment_flow
from stripe_simulator.account import Account
from stripe_simulator.api_errors import ApiError
from stripe_simulator.billing_periods import period_end
from stripe_simulator.collection import StripeObject
from stripe_simulator.money import MINIMUM_AMOUNTS
from stripe_simulator.payment_flow import INTENTS, Confirmation
from stripe_simulator.resources.new_invoice import new_invoice
from stripe_simulator.resources.new_payment_intent import new_intent

SUBSCRIPTIONS: Final = "subscriptions"
INVOICES: Final = "invoices"
_INCOMPLETE_SECONDS: Final = 23 * 3600
_DAY_SECONDS: Final = 24 * 3600
_BILLED: Final = frozenset({"trialing", "active", "past_due"})
_UNPAID: Final = frozenset({"incomplete", "past_due"})


def create(account: Account, subscription: StripeObject, *, charge: bool) -> StripeObject:
    """Store a new subscription with its first invoice, and charge it if told to."""
    account[SUBSCRIPTIONS].add(subscription)
    if subscription["status"] == "trialing":
        invoice = _add_invoice(account, subscription, "subscription_create", amount=0)
        subscription = account.change(SUBSCRIPTIONS, subscription, latest_invoice=invoice["id"])
        account.publish("customer.subscription.created", subscription)
        _schedule_period_end(account, subscription)
        return subscription
    invoice = _add_invoice(account, subscription, "subscription_create", amount=total(subscription))
    subscription = account.change(SUBSCRIPTIONS, subscription, latest_invoice=invoice["id"])
    account.publish("customer.subscription.created", subscription)
    _schedule_expiry(account, subscription)
    if invoice["status"] == "paid":
        _set_status(account, subscription["id"], "active")
    elif charge:
        _collect(account, invoice["id"])
    _schedule_period_end(account, subscription)
    return account[SUBSCRIPTIONS].get(subscription["id"])


def total(subscription: StripeObject) -> int:
    """Return the price of one billing interval, in minor units."""
    return sum(item["price"]["unit_amount"] * item["quantity"] for item in subscription["items"]["data"])


def cancel_now(account: Account, subscription: StripeObject, reason: str) -> StripeObject:
    """Cancel a subscription at once."""
    now = account.clock.timestamp()
    for invoice in _open_invoices(account, subscription["id"]):
        if subscription["status"] == "incomplete":
            _void(account, invoice)
        else:
            account.change(INVOICES, invoice, next_payment_attempt=None, auto_advance=False)
    return account.change(
        SUBSCRIPTIONS,
        account[SUBSCRIPTIONS].get(subscription["id"]),
        "customer.subscription.deleted",
        status="canceled",
        canceled_at=subscription["canceled_at"] or now,
        ended_at=now,
        cancellation_details=cancellation_details(reason),
    )


def cancellation_details(reason: str | None) -> StripeObject:
    """Return the details of a cancellation, or those of a subscription that is not canceled."""
    return {"comment": None, "feedback": None, "feedback_option": None, "reason": reason}


def intent_of(account: Account, invoice_id: str) -> str:
    """Return the id of an invoice's payment intent."""
    intent_id: str = account.secrets[f"intent_of:{invoice_id}"]
    return intent_id


def on_intent_changed(account: Account, before: StripeObject, after: StripeObject) -> None:
    """Update an invoice and its subscription after its payment intent changed."""
    invoice_id = account.secrets.get(f"invoice_of:{after['id']}")
    if invoice_id is None or before["status"] == after["status"]:
        return
    invoice = account[INVOICES].get(invoice_id)
    if after["status"] == "succeeded":
        _on_paid(account, invoice)
    elif after["status"] == "processing":
        _on_processing(account, invoice)
    elif after["status"] == "requires_action":
        _on_declined(account, invoice, "invoice.payment_action_required")
    elif after["status"] == "requires_payment_method":
        _on_declined(account, invoice, None)


def pause(account: Account, subscription: StripeObject) -> StripeObject:
    """Pause a subscription, as after a trial without a payment method."""
    return account.change(SUBSCRIPTIONS, subscription, "customer.subscription.paused", status="paused")


def _add_invoice(account: Account, subscription: StripeObject, reason: str, *, amount: int) -> StripeObject:
    """Store the invoice for the current period with its payment intent. One below the minimum amount counts as paid."""
    invoice = new_invoice(account, subscription, reason, amount)
    account[INVOICES].add(invoice)
    account.publish("invoice.created", invoice)
    if amount < MINIMUM_AMOUNTS.get(invoice["currency"], 1):
        invoice = account.change(INVOICES, invoice, "invoice.finalized", status="open")
        return _mark_paid(account, invoice)
    _add_intent(account, invoice, subscription["default_payment_method"])
    return account.change(INVOICES, invoice, "invoice.finalized", status="open")


def _add_intent(account: Account, invoice: StripeObject, method_id: str) -> None:
    params: dict[str, Any] = {
        "amount": invoice["amount_due"],
        "customer": invoice["customer"],
        "description": "Subscription creation"
        if invoice["billing_reason"] == "subscription_create"
        else "Subscription update",
    }
    ready = {"payment_method": method_id, "status": "requires_confirmation"}
    intent = account[INTENTS].add(new_intent(account, params, invoice["currency"]) | ready)
    account.secrets[f"invoice_of:{intent['id']}"] = invoice["id"]
    account.secrets[f"intent_of:{invoice['id']}"] = intent["id"]
    secret = {"client_secret": intent["client_secret"], "type": "payment_intent"}
    account.includable[invoice["id"], "confirmation_secret"] = secret
    account.publish("payment_intent.created", intent)


def _collect(account: Account, invoice_id: str) -> None:
    """Charge an invoice. A decline only shows in the states that it leaves."""
    try:
        _confirm(account, invoice_id)
    except ApiError as error:
        if error.status != 402:  # noqa: PLR2004 - the bank declined
            raise


def _confirm(account: Account, invoice_id: str) -> None:
    invoice = account[INVOICES].get(invoice_id)
    intent = account[INTENTS].get(intent_of(account, invoice_id))
    if intent["payment_method"] is None:
        subscription = account[SUBSCRIPTIONS].get(_subscription_of(invoice))
        method = subscription["default_payment_method"]
        intent = account.change(INTENTS, intent, payment_method=method, status="requires_confirmation")
    payment_flow.confirm(account, intent, Confirmation(use_stripe_sdk=True))


def _on_paid(account: Account, invoice: StripeObject) -> None:
    _mark_paid(account, invoice)
    subscription = account[SUBSCRIPTIONS].get(_subscription_of(invoice))
    if subscription["status"] in _UNPAID and not _open_invoices(account, subscription["id"]):
        _set_status(account, subscription["id"], "active")


def _mark_paid(account: Account, invoice: StripeObject) -> StripeObject:
    paid = account.change(
        INVOICES,
        invoice,
        "invoice.paid",
        status="paid",
        attempted=True,
        attempt_count=invoice["attempt_count"] + (1 if invoice["amount_due"] else 0),
        amount_paid=invoice["amount_due"],
        amount_remaining=0,
        next_payment_attempt=None,
        status_transitions={**invoice["status_transitions"], "paid_at": account.clock.timestamp()},
    )
    account.publish("invoice.payment_succeeded", paid)
    return paid


def _on_processing(account: Account, invoice: StripeObject) -> None:
    """Activate a subscription whose debit is processing: Stripe does not wait for the bank."""
    subscription = account[SUBSCRIPTIONS].get(_subscription_of(invoice))
    if subscription["status"] == "incomplete":
        _set_status(account, subscription["id"], "active")


def _on_declined(account: Account, invoice: StripeObject, also_publish: str | None) -> None:
    """Record a failed attempt. A failed renewal is retried on the days in the settings."""
    if invoice["status"] != "open":
        return
    subscription = account[SUBSCRIPTIONS].get(_subscription_of(invoice))
    first = invoice["billing_reason"] == "subscription_create"
    attempts = invoice["attempt_count"] + 1
    days = account.settings.retry_days
    retried = not first and attempts <= len(days)
    next_try = account.clock.timestamp() + days[attempts - 1] * _DAY_SECONDS if retried else None
    invoice = account.change(INVOICES, invoice, attempted=True, attempt_count=attempts, next_payment_attempt=next_try)
    account.publish("invoice.payment_failed", invoice)
    if also_publish:
        account.publish(also_publish, invoice)
    if first and subscription["status"] == "incomplete":
        return
    if subscription["status"] in _BILLED:
        _set_status(account, subscription["id"], "past_due")
    if next_try is not None:
        account.scheduler.add(next_try - account.clock.now(), lambda: _retry(account, invoice["id"]))
    elif not first:
        cancel_now(account, account[SUBSCRIPTIONS].get(subscription["id"]), "payment_failed")


def _retry(account: Account, invoice_id: str) -> None:
    invoice = account[INVOICES].get(invoice_id)
    subscription = account[SUBSCRIPTIONS].get(_subscription_of(invoice))
    if invoice["status"] != "open" or subscription["status"] not in (*_BILLED, "incomplete", "paused"):
        return
    intent = account[INTENTS].get(intent_of(account, invoice_id))
    method = subscription["default_payment_method"]
    account.change(INTENTS, intent, payment_method=method, status="requires_confirmation", next_action=None)
    _collect(account, invoice_id)


def _set_status(account: Account, subscription_id: str, status: str) -> None:
    subscription = account[SUBSCRIPTIONS].get(subscription_id)
    if subscription["status"] != status:
        account.change(SUBSCRIPTIONS, subscription, "customer.subscription.updated", status=status)


def _schedule_expiry(account: Account, subscription: StripeObject) -> None:
    account.scheduler.add(_INCOMPLETE_SECONDS, lambda: _expire(account, subscription["id"]))


def _expire(account: Account, subscription_id: str) -> None:
    subscription = account[SUBSCRIPTIONS].get(subscription_id)
    if subscription["status"] != "incomplete":
        return
    for invoice in _open_invoices(account, subscription_id):
        _void(account, invoice)
    account.change(
        SUBSCRIPTIONS,
        subscription,
        "customer.subscription.updated",
        status="incomplete_expired",
        ended_at=account.clock.timestamp(),
    )


def _void(account: Account, invoice: StripeObject) -> None:
    transitions = {**invoice["status_transitions"], "voided_at": account.clock.timestamp()}
    account.change(INVOICES, invoice, "invoice.voided", status="void", status_transitions=transitions)
    intent = account[INTENTS].get(intent_of(account, invoice["id"]))
    if intent["status"] in payment_flow.CONFIRMABLE:
        payment_flow.cancel(account, intent, "void_invoice")


def _schedule_period_end(account: Account, subscription: StripeObject) -> None:
    end = current_period_end(subscription)
    account.scheduler.add(end - account.clock.now(), lambda: _on_period_end(account, subscription["id"], end))


def _on_period_end(account: Account, subscription_id: str, end: int) -> None:
    subscription = account[SUBSCRIPTIONS].get(subscription_id)
    if subscription["status"] not in _BILLED:
        return
    if current_period_end(subscription) != end:
        return
    if subscription["cancel_at"] is not None and subscription["cancel_at"] <= end:
        cancel_now(account, subscription, "cancellation_requested")
        return
    _renew(account, subscription)


def _renew(account: Account, subscription: StripeObject) -> None:
    items = subscription["items"]["data"]
    start = current_period_end(subscription)
    recurring = items[0]["price"]["recurring"]
    end = period_end(
        subscription["billing_cycle_anchor"], recurring["interval"], recurring["interval_count"], after=start
    )
    moved = [item | {"current_period_start": start, "current_period_end": end} for item in items]
    status = "active" if subscription["status"] == "trialing" else subscription["status"]
    subscription = account.change(
        SUBSCRIPTIONS, subscription, items={**subscription["items"], "data": moved}, status=status
    )
    invoice = _add_invoice(account, subscription, "subscription_cycle", amount=total(subscription))
    subscription = account.change(
        SUBSCRIPTIONS,
        account[SUBSCRIPTIONS].get(subscription["id"]),
        "customer.subscription.updated",
        latest_invoice=invoice["id"],
    )
    if invoice["status"] == "open":
        _collect(account, invoice["id"])
    _schedule_period_end(account, subscription)


def current_period_end(subscription: StripeObject) -> int:
    """Return the end of the current billing period, in seconds."""
    end: int = max(item["current_period_end"] for item in subscription["items"]["data"])
    return end


def _open_invoices(account: Account, subscription_id: str) -> list[StripeObject]:
    return [
        invoice
        for invoice in account[INVOICES]
        if invoice["status"] == "open" and _subscription_of(invoice) == subscription_id
    ]


def _subscription_of(invoice: StripeObject) -> str:
    subscription_id: str = invoice["parent"]["subscription_details"]["subscription"]
    return subscription_id
