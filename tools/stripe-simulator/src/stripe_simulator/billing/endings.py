"""End of a subscription: canceled, at once or at a time, or expired before its first payment."""

from stripe_simulator.account import Account
from stripe_simulator.billing.invoices import is_processing, void
from stripe_simulator.billing.objects import (
    BILLED,
    HOUR_SECONDS,
    INVOICES,
    SUBSCRIPTIONS,
    invoices_of,
    update_subscription,
)
from stripe_simulator.collection import StripeObject

_PAYABLE_SECONDS = 23 * HOUR_SECONDS


def cancel_now(account: Account, subscription_id: str, reason: str) -> StripeObject:
    """Cancel a subscription at once. Its unpaid invoices are no longer collected automatically.

    See https://docs.stripe.com/billing/subscriptions/cancel#handle-invoice-items-when-canceling-subscriptions. An
    incomplete one expires instead, in an update: https://github.com/pay-rails/pay/issues/91 shows the event. An invoice
    whose debit is processing cannot be void, and is paid when the debit settles.
    """
    subscription = account[SUBSCRIPTIONS].get(subscription_id)
    now = account.clock.timestamp()
    incomplete = subscription["status"] == "incomplete"
    for invoice in invoices_of(account, subscription_id, "draft", "open"):
        if incomplete and not is_processing(account, invoice["id"]):
            void(account, invoice)
        else:
            stopped = {"next_payment_attempt": None, "automatically_finalizes_at": None, "auto_advance": False}
            account.change(INVOICES, invoice, "invoice.updated", **stopped)
    return account.change(
        SUBSCRIPTIONS,
        subscription,
        "customer.subscription.updated" if incomplete else "customer.subscription.deleted",
        status="incomplete_expired" if incomplete else "canceled",
        canceled_at=subscription["canceled_at"] or now,
        ended_at=now,
        cancellation_details=subscription["cancellation_details"] | {"reason": reason},
    )


def cancel_all_of(account: Account, customer_id: str) -> None:
    """Cancel the subscriptions of a customer who is deleted (https://docs.stripe.com/api/customers/delete)."""
    for subscription in list(account[SUBSCRIPTIONS]):
        if subscription["customer"] == customer_id and subscription["status"] in (*BILLED, "incomplete", "paused"):
            cancel_now(account, subscription["id"], "cancellation_requested")


def cancellation_details(reason: str | None) -> StripeObject:
    """Return `cancellation_details` with a reason."""
    return {"comment": None, "feedback": None, "feedback_option": None, "reason": reason}


def schedule_cancellation(account: Account, subscription: StripeObject) -> None:
    """Cancel at the time in `cancel_at`, unless it has changed by then."""
    subscription_id, moment = subscription["id"], subscription["cancel_at"]
    account.scheduler.add_at(
        max(moment, account.clock.now()), lambda: _cancel_if_wanted(account, subscription_id, moment)
    )


def _cancel_if_wanted(account: Account, subscription_id: str, moment: int) -> None:
    subscription = account[SUBSCRIPTIONS].get(subscription_id)
    if subscription["cancel_at"] == moment and subscription["ended_at"] is None:
        cancel_now(account, subscription_id, "cancellation_requested")


def schedule_expiry(account: Account, subscription: StripeObject) -> None:
    """Expire the subscription unless its first invoice is paid within 23 hours."""
    account.scheduler.add(_PAYABLE_SECONDS, lambda: expire_if_late(account, subscription["id"]))


def expire_if_late(account: Account, subscription_id: str) -> None:
    """Expire an incomplete subscription after 23 hours, but not while its bank debit is processing."""
    subscription = account[SUBSCRIPTIONS].get(subscription_id)
    if subscription["status"] != "incomplete":
        return
    if account.clock.now() < subscription["created"] + _PAYABLE_SECONDS:
        return
    unpaid = invoices_of(account, subscription_id, "open")
    if any(is_processing(account, invoice["id"]) for invoice in unpaid):
        return
    for invoice in unpaid:
        void(account, invoice)
    update_subscription(account, subscription_id, status="incomplete_expired", ended_at=account.clock.timestamp())
