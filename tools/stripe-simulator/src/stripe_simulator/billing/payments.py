"""Payment of invoices: charge, retry, and what the outcome does to the subscription.

See https://docs.stripe.com/billing/subscriptions/overview#payment-status.
"""

from typing import Any, Final

from stripe_simulator import payment_flow
from stripe_simulator.account import Account
from stripe_simulator.api_errors import ApiError
from stripe_simulator.billing.endings import cancel_now, expire_if_late
from stripe_simulator.billing.invoices import (
    intent_of,
    invoice_of,
    is_first,
    is_processing,
    mark_failed,
    mark_paid,
    void,
)
from stripe_simulator.billing.objects import (
    BILLED,
    DAY_SECONDS,
    ENDED,
    HOUR_SECONDS,
    INVOICES,
    invoices_of,
    subscription_of,
    update_subscription,
    usable_method,
)
from stripe_simulator.collection import StripeObject
from stripe_simulator.payment_flow import INTENTS, Confirmation

_DECLINED = 402
_ACTION_REQUIRED = "invoice.payment_action_required"
_HARD_DECLINES: Final = frozenset({"authentication_required", "lost_card", "stolen_card"})
"""Those of https://docs.stripe.com/billing/revenue-recovery/smart-retries that a test card answers."""


def collect(account: Account, invoice_id: str, *, off_session: bool = False) -> None:
    """Charge an open invoice automatically. A decline only shows in the states that it leaves.

    "Retries will continue to be scheduled, and attempt_count will continue to increment, but retries will only be
    executed if a new payment method is obtained" (https://docs.stripe.com/api/invoices/object, `attempt_count`).
    """
    invoice = account[INVOICES].get(invoice_id)
    method = usable_method(account, subscription_of(account, invoice))
    account.secrets[f"automatic:{invoice_id}"] = True  # until the outcome, which of a debit is days later
    if method is None or method["id"] in _refused(account, invoice):
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


def recover(account: Account, invoice: StripeObject) -> None:
    """Activate a past due subscription whose latest finalized invoice is paid or uncollectible by now.

    See https://docs.stripe.com/billing/subscriptions/overview#unpaid-subscriptions.
    """
    subscription = subscription_of(account, invoice)
    if subscription["status"] == "past_due" and _latest_is_paid(account, subscription["id"]):
        update_subscription(account, subscription["id"], status="active")


def on_voided(account: Account, invoice: StripeObject) -> None:
    """Expire an incomplete subscription whose first invoice is void, and activate a past due one.

    Stripe looks for the newest invoice that is paid, given up or no longer retried, and activates without any
    (https://docs.stripe.com/billing/subscriptions/overview#void-invoice). The last retry cancels here, so that none of
    a past due subscription is past its retries.
    """
    subscription = subscription_of(account, invoice)
    if subscription["status"] == "incomplete" and is_first(invoice):
        now = account.clock.timestamp()
        update_subscription(account, subscription["id"], status="incomplete_expired", ended_at=now)
    elif subscription["status"] == "past_due":
        update_subscription(account, subscription["id"], status="active")


def on_intent_changed(account: Account, before: StripeObject, after: StripeObject) -> None:
    """Update an invoice and its subscription after its payment intent changed."""
    invoice = invoice_of(account, after["id"])
    if invoice is None or before["status"] == after["status"] or invoice["status"] not in ("open", "uncollectible"):
        return
    if after["status"] == "succeeded":
        _on_paid(account, invoice, after["payment_method"])
    elif after["status"] == "processing":
        _on_processing(account, invoice)
    elif after["status"] in ("requires_action", "requires_payment_method"):
        error = after["last_payment_error"] or {}
        asked = after["status"] == "requires_action" or error.get("code") == "authentication_required"
        if asked or error.get("decline_code") in _HARD_DECLINES:
            account.secrets[_refused_key(invoice)] = _refused(account, invoice) | {before["payment_method"]}
        _on_failed(account, invoice, *([_ACTION_REQUIRED] if asked else []), debit=before["status"] == "processing")


def _on_paid(account: Account, invoice: StripeObject, method_id: str) -> None:
    mark_paid(account, invoice, automatic=account.secrets.pop(f"automatic:{invoice['id']}", False))
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
    automatic = account.secrets.pop(f"automatic:{invoice['id']}", False)
    if is_first(invoice):
        mark_failed(account, invoice, None, *more_events, automatic=automatic)
        if subscription["status"] == "incomplete":
            expire_if_late(account, subscription["id"])
        elif debit:
            # https://docs.stripe.com/billing/subscriptions/overview#payment-status: "Stripe voids the invoice but the
            # subscription remains active".
            void(account, account[INVOICES].get(invoice["id"]))
        return
    counts = automatic or invoice["attempt_count"] == 0
    next_try = _next_try(account, invoice) if counts else invoice["next_payment_attempt"]
    mark_failed(account, invoice, next_try, *more_events, automatic=automatic)
    if counts:
        _plan(account, invoice, next_try)


def _next_try(account: Account, invoice: StripeObject) -> int | None:
    """Return the time of the retry after one more attempt, or None."""
    days = account.settings.retry_days
    if not invoice["auto_advance"] or invoice["attempt_count"] >= len(days):
        return None
    moment: int = account.clock.timestamp() + days[invoice["attempt_count"]] * DAY_SECONDS
    return moment


def _plan(account: Account, invoice: StripeObject, next_try: int | None) -> None:
    """Schedule the next retry of a renewal that failed. After the last one the subscription ends."""
    subscription = subscription_of(account, invoice)
    if subscription["status"] in BILLED:
        update_subscription(account, subscription["id"], status="past_due")
    if next_try is not None:
        account.scheduler.add_at(next_try, lambda: _retry(account, invoice["id"], next_try))
    elif subscription["status"] in BILLED and invoice["auto_advance"]:
        cancel_now(account, subscription["id"], "payment_failed")


def _retry(account: Account, invoice_id: str, moment: int) -> None:
    invoice = account[INVOICES].get(invoice_id)
    if invoice["status"] != "open" or invoice["next_payment_attempt"] != moment:
        return
    if subscription_of(account, invoice)["status"] not in (*BILLED, "paused"):
        return
    if is_processing(account, invoice_id):  # a debit of the buyer's, which may fail
        account.scheduler.add(HOUR_SECONDS, lambda: _retry(account, invoice_id, moment))
        return
    collect(account, invoice_id)


def _refused(account: Account, invoice: StripeObject) -> frozenset[str]:
    """Return the ids of the payment methods whose banks will not pay the invoice however often they are asked."""
    refused: frozenset[str] = account.secrets.get(_refused_key(invoice), frozenset())
    return refused


def _refused_key(invoice: StripeObject) -> str:
    return f"refused:{invoice['id']}"
