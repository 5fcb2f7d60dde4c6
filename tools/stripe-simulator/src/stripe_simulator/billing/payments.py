"""Payment of invoices: charge, retry, and what the outcome does to the subscription.

See https://docs.stripe.com/billing/subscriptions/overview#payment-status.
"""

from typing import Any

from stripe_simulator import payment_flow
from stripe_simulator.account import Account
from stripe_simulator.api_errors import ApiError
from stripe_simulator.billing.endings import cancel_now, expire_if_late
from stripe_simulator.billing.invoices import (
    intent_of,
    invoice_of,
    is_first,
    mark_failed,
    mark_paid,
    void,
)
from stripe_simulator.billing.objects import (
    BILLED,
    DAY_SECONDS,
    ENDED,
    INVOICES,
    SUBSCRIPTIONS,
    invoices_of,
    subscription_of,
    update_subscription,
    usable_method,
)
from stripe_simulator.collection import StripeObject
from stripe_simulator.payment_flow import INTENTS, Confirmation

_DECLINED = 402
_ACTION_REQUIRED = "invoice.payment_action_required"


def collect(account: Account, invoice_id: str, *, off_session: bool = False) -> None:
    """Charge an open invoice. A decline only shows in the states that it leaves."""
    invoice = account[INVOICES].get(invoice_id)
    method = usable_method(account, subscription_of(account, invoice))
    if method is None:
        _on_failed(account, invoice)
        return
    try:
        charge(account, invoice_id, method["id"], off_session=off_session)
    except ApiError as error:
        if error.status != _DECLINED:
            raise


def charge(account: Account, invoice_id: str, method_id: str, *, off_session: bool = False) -> StripeObject:
    """Charge an open invoice to a payment method. Return its intent. Raises Stripe's 402 if the bank declines."""
    intent = intent_of(account, invoice_id)
    if intent["status"] in payment_flow.CONFIRMABLE:
        ready = {"payment_method": method_id, "status": "requires_confirmation", "next_action": None}
        intent = account.change(INTENTS, intent, **ready)
    return payment_flow.confirm(account, intent, Confirmation(use_stripe_sdk=True, off_session=off_session))


def recover(account: Account, subscription_id: str) -> None:
    """Activate a past due subscription whose latest finalized invoice is paid, uncollectible or void by now.

    See https://docs.stripe.com/billing/subscriptions/overview#unpaid-subscriptions.
    """
    past_due = account[SUBSCRIPTIONS].get(subscription_id)["status"] == "past_due"
    if past_due and _latest_is_paid(account, subscription_id):
        update_subscription(account, subscription_id, status="active")


def on_intent_changed(account: Account, before: StripeObject, after: StripeObject) -> None:
    """Update an invoice and its subscription after its payment intent changed."""
    invoice = invoice_of(account, after["id"])
    if invoice is None or before["status"] == after["status"] or invoice["status"] not in ("open", "uncollectible"):
        return
    if after["status"] == "succeeded":
        _on_paid(account, invoice, after["payment_method"])
    elif after["status"] == "processing":
        _on_processing(account, invoice)
    elif after["status"] == "requires_action":
        _on_failed(account, invoice, _ACTION_REQUIRED)
    elif after["status"] == "requires_payment_method":
        asked = (after["last_payment_error"] or {}).get("code") == "authentication_required"
        _on_failed(account, invoice, *([_ACTION_REQUIRED] if asked else []), debit=before["status"] == "processing")


def _on_paid(account: Account, invoice: StripeObject, method_id: str) -> None:
    mark_paid(account, invoice)
    subscription = subscription_of(account, invoice)
    if subscription["status"] in ENDED:
        return
    changes: dict[str, Any] = {}
    if subscription["payment_settings"]["save_default_payment_method"] == "on_subscription":
        changes["default_payment_method"] = method_id
    if subscription["status"] == "incomplete" or (
        subscription["status"] == "past_due" and _latest_is_paid(account, subscription["id"])
    ):
        changes["status"] = "active"
    update_subscription(account, subscription["id"], **changes)


def _latest_is_paid(account: Account, subscription_id: str) -> bool:
    """Return true if the latest finalized invoice that is not void is paid."""
    latest = invoices_of(account, subscription_id, "open", "paid", "uncollectible")[-1]
    return bool(latest["status"] != "open")


def _on_processing(account: Account, invoice: StripeObject) -> None:
    """Activate a subscription whose first debit is processing, if the settings say so."""
    subscription = subscription_of(account, invoice)
    if subscription["status"] == "incomplete" and account.settings.processing_debit_activates:
        update_subscription(account, subscription["id"], status="active")


def _on_failed(account: Account, invoice: StripeObject, *more_events: str, debit: bool = False) -> None:
    """Record a failed attempt. A failed renewal is retried on the days in the settings."""
    subscription = subscription_of(account, invoice)
    if is_first(invoice):
        mark_failed(account, invoice, None, *more_events)
        if subscription["status"] == "incomplete":
            expire_if_late(account, subscription["id"])
        elif debit:
            # https://docs.stripe.com/billing/subscriptions/overview#payment-status: "Stripe voids the invoice but the
            # subscription remains active".
            void(account, account[INVOICES].get(invoice["id"]))
        return
    days = account.settings.retry_days
    retried = invoice["auto_advance"] and invoice["attempt_count"] < len(days)
    next_try = account.clock.timestamp() + days[invoice["attempt_count"]] * DAY_SECONDS if retried else None
    mark_failed(account, invoice, next_try, *more_events)
    if subscription["status"] in BILLED:
        update_subscription(account, subscription["id"], status="past_due")
    if next_try is not None:
        account.scheduler.add_at(next_try, lambda: _retry(account, invoice["id"], next_try))
    elif subscription["status"] in BILLED:
        cancel_now(account, subscription["id"], "payment_failed")


def _retry(account: Account, invoice_id: str, moment: int) -> None:
    invoice = account[INVOICES].get(invoice_id)
    if invoice["status"] != "open" or invoice["next_payment_attempt"] != moment:
        return
    if intent_of(account, invoice_id)["status"] == "processing":
        return
    if account[SUBSCRIPTIONS].get(subscription_of(account, invoice)["id"])["status"] in (*BILLED, "paused"):
        collect(account, invoice_id)
