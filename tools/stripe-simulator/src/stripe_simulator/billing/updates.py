"""Change of a subscription, and the invoice that the change may need.

A change of price, quantity or items is prorated (https://docs.stripe.com/billing/subscriptions/prorations). A change of
the billing interval, and the end of a trial, begin a new period and are billed at once
(https://docs.stripe.com/billing/subscriptions/change-price). A trial that begins later credits the unused time.
"""

from dataclasses import dataclass
from typing import Any

from stripe_simulator.account import Account
from stripe_simulator.billing import discounts, prorations, renewals
from stripe_simulator.billing.endings import schedule_cancellation
from stripe_simulator.billing.finalization import finalize_now
from stripe_simulator.billing.objects import (
    INVOICES,
    SUBSCRIPTIONS,
    current_period_end,
    update_subscription,
    with_items,
)
from stripe_simulator.collection import StripeObject
from stripe_simulator.resources.new_invoice import new_invoice, subscription_lines
from stripe_simulator.resources.subscription_items import interval_of


@dataclass(frozen=True, slots=True)
class Change:
    """Fields that change, the end of the trial in seconds, if it changes, and how the change is billed."""

    fields: dict[str, Any]
    prorates: str
    trial_end: int | None
    charge: bool
    off_session: bool


def apply(account: Account, before: StripeObject, change: Change) -> StripeObject:
    """Store the change with its event, then bill it."""
    after = before | change.fields
    now = account.clock.timestamp()
    if change.trial_end is not None:
        after = _with_trial_end(after, change.trial_end, now)
    restarts = _interval(before) != _interval(after) and after["status"] != "trialing"
    if change.prorates != "none" and before["status"] != "trialing":
        prorations.prorate(account, before, after, whole=restarts or after["status"] == "trialing")
    if restarts or change.trial_end == now:
        after = _restarted(after, now)
        restarts = True
    if after["cancel_at_period_end"]:
        after = after | {"cancel_at": current_period_end(after)}
    draft = _draft(account, before, after, change, restarts=restarts)
    if draft:
        after = after | {"latest_invoice": draft["id"]}
        if restarts:
            after = discounts.after_invoice(account, after)
    changed = update_subscription(account, before["id"], **after)
    if changed["status"] == "trialing":
        prorations.note_billed(account, subscription_lines(account, changed, free=True))
    _schedule(account, before, changed)
    if draft:
        finalize_now(account, draft, charge=change.charge, off_session=change.off_session)
        if not change.charge and account[INVOICES].get(draft["id"])["status"] == "open":
            # `payment_behavior=default_incomplete` of https://docs.stripe.com/api/subscriptions/update
            update_subscription(account, before["id"], status="past_due")
    return account[SUBSCRIPTIONS].get(before["id"])


def _interval(subscription: StripeObject) -> tuple[str, int]:
    return interval_of(subscription["items"]["data"][0]["price"])


def _with_trial_end(subscription: StripeObject, end: int, now: int) -> StripeObject:
    """Return the subscription with a trial that ends then, and with it the period."""
    begins = subscription["status"] != "trialing"
    period = {"current_period_end": end} | ({"current_period_start": now} if begins else {})
    items = [item | period for item in subscription["items"]["data"]]
    trial = {"trial_end": end, "billing_cycle_anchor": end, "status": "active" if end == now else "trialing"}
    started = {"trial_start": now} if begins else {}
    return subscription | trial | started | {"items": with_items(subscription, items)}


def _restarted(subscription: StripeObject, now: int) -> StripeObject:
    """Return the subscription with a period that begins now."""
    anchored = subscription | {"billing_cycle_anchor": now}
    return anchored | {"items": with_items(anchored, renewals.next_period(anchored, now))}


def _draft(
    account: Account, before: StripeObject, after: StripeObject, change: Change, *, restarts: bool
) -> StripeObject | None:
    """Store the invoice of the change, if it is billed at once."""
    lines = prorations.pending_lines(account, before["id"])
    if restarts:
        lines += subscription_lines(account, after)
    elif change.prorates != "always_invoice" or not lines:
        return None
    discounted = discounts.applied(account, after, lines)
    draft = account[INVOICES].add(new_invoice(account, after, "subscription_update", discounted))
    prorations.mark_invoiced(account, draft)
    if restarts:
        prorations.note_billed(account, discounted)
    return draft


def _schedule(account: Account, before: StripeObject, after: StripeObject) -> None:
    """Schedule what the change has moved. The actions that were scheduled before see that it moved."""
    over = current_period_end(after) <= account.clock.now()  # of a paused one
    if after["cancel_at"] and after["cancel_at"] != before["cancel_at"] and (over or not after["cancel_at_period_end"]):
        schedule_cancellation(account, after)
    if current_period_end(after) != current_period_end(before):
        renewals.schedule(account, after)
    if after["status"] == "trialing" and after["trial_end"] != before["trial_end"]:
        renewals.announce_trial_end(account, after)
    resumes_at = (after["pause_collection"] or {}).get("resumes_at")
    if resumes_at and after["pause_collection"] != before["pause_collection"]:
        account.scheduler.add_at(resumes_at, lambda: _resume(account, after["id"], resumes_at))


def _resume(account: Account, subscription_id: str, moment: int) -> None:
    """Collect payments again (https://docs.stripe.com/billing/subscriptions/pause-payment)."""
    subscription = account[SUBSCRIPTIONS].get(subscription_id)
    if subscription["ended_at"] is None and (subscription["pause_collection"] or {}).get("resumes_at") == moment:
        update_subscription(account, subscription_id, pause_collection=None)
