"""Renewal of subscriptions at the end of each billing period, and the events that announce it."""

from typing import Final

from stripe_simulator.account import Account
from stripe_simulator.billing import discounts, prorations
from stripe_simulator.billing.endings import cancel_now
from stripe_simulator.billing.finalization import publish_draft
from stripe_simulator.billing.objects import (
    BILLED,
    DAY_SECONDS,
    HOUR_SECONDS,
    INVOICES,
    SUBSCRIPTIONS,
    current_period_end,
    update_subscription,
    with_items,
)
from stripe_simulator.billing_periods import period_end
from stripe_simulator.collection import StripeObject
from stripe_simulator.resources.new_invoice import new_invoice, subscription_lines

_TRIAL_NOTICE_SECONDS: Final = 3 * DAY_SECONDS


def schedule(account: Account, subscription: StripeObject) -> None:
    """Renew at the end of the present period, and announce it before."""
    subscription_id, end = subscription["id"], current_period_end(subscription)
    account.scheduler.add_at(end, lambda: _on_period_end(account, subscription_id, end))
    announced = end - account.settings.upcoming_days * DAY_SECONDS
    if announced > _period_start(subscription):
        account.scheduler.add_at(announced, lambda: _announce(account, subscription_id, end))


def announce_trial_end(account: Account, subscription: StripeObject) -> None:
    """Publish `trial_will_end` three days before the trial ends, or now if that is sooner.

    See https://docs.stripe.com/billing/subscriptions/trials#webhooks.
    """
    subscription_id, end = subscription["id"], subscription["trial_end"]
    moment = max(end - _TRIAL_NOTICE_SECONDS, account.clock.now())
    account.scheduler.add_at(moment, lambda: _on_trial_will_end(account, subscription_id, end))


def next_period(subscription: StripeObject, start: int) -> list[StripeObject]:
    """Return the items with the period that begins at `start`."""
    items: list[StripeObject] = subscription["items"]["data"]
    recurring = items[0]["price"]["recurring"]
    anchor = subscription["billing_cycle_anchor"]
    end = period_end(anchor, recurring["interval"], recurring["interval_count"], after=start)
    return [item | {"current_period_start": start, "current_period_end": end} for item in items]


def _period_start(subscription: StripeObject) -> int:
    start: int = min(item["current_period_start"] for item in subscription["items"]["data"])
    return start


def _on_trial_will_end(account: Account, subscription_id: str, end: int) -> None:
    subscription = account[SUBSCRIPTIONS].get(subscription_id)
    if subscription["status"] == "trialing" and subscription["trial_end"] == end:
        account.publish("customer.subscription.trial_will_end", subscription)


def _announce(account: Account, subscription_id: str, end: int) -> None:
    """Publish a preview of the next invoice. It has no id, and is not sent while collection is paused."""
    subscription = account[SUBSCRIPTIONS].get(subscription_id)
    if subscription["status"] not in BILLED or current_period_end(subscription) != end:
        return
    if subscription["pause_collection"] or _ends_by(subscription, end):
        return
    start = _period_start(subscription)
    subscription = discounts.left_at(account, subscription, end)
    renewed = subscription | {"items": with_items(subscription, next_period(subscription, end))}
    lines = [*prorations.pending_lines(account, subscription_id), *subscription_lines(account, renewed)]
    preview = new_invoice(account, renewed, "upcoming", discounts.applied(account, renewed, lines), since=start)
    shown = [line | {"invoice": None} for line in preview["lines"]["data"]]
    preview |= {
        "lines": preview["lines"] | {"data": shown},
        "next_payment_attempt": end + HOUR_SECONDS,
        "period_end": end,
    }
    account.publish("invoice.upcoming", {name: value for name, value in preview.items() if name != "id"})


def _on_period_end(account: Account, subscription_id: str, end: int) -> None:
    subscription = account[SUBSCRIPTIONS].get(subscription_id)
    if current_period_end(subscription) != end:
        return
    if subscription["status"] == "incomplete":  # its first bank debit takes longer than its period
        account.scheduler.add(HOUR_SECONDS, lambda: _on_period_end(account, subscription_id, end))
    elif subscription["status"] in (*BILLED, "paused") and _ends_by(subscription, end):
        cancel_now(account, subscription_id, "cancellation_requested")
    elif subscription["status"] in BILLED:
        _renew(account, subscription, end)


def _ends_by(subscription: StripeObject, end: int) -> bool:
    return subscription["cancel_at"] is not None and subscription["cancel_at"] <= end


def _renew(account: Account, subscription: StripeObject, start: int) -> None:
    """Begin the next period with a draft. Publish the subscription before the invoice, as Stripe does."""
    subscription = discounts.without_ended(account, subscription)
    renewed = subscription | {"items": with_items(subscription, next_period(subscription, start))}
    lines = [*prorations.pending_lines(account, subscription["id"]), *subscription_lines(account, renewed)]
    since, lines = _period_start(subscription), discounts.applied(account, renewed, lines)
    draft = new_invoice(account, renewed, "subscription_cycle", lines, since)
    advances = (subscription["pause_collection"] or {}).get("behavior") != "keep_as_draft"
    planned = draft["created"] + HOUR_SECONDS if advances else None
    draft |= {"auto_advance": advances, "automatically_finalizes_at": planned, "next_payment_attempt": planned}
    account[INVOICES].add(draft)
    prorations.mark_invoiced(account, draft)
    prorations.note_billed(account, lines)
    left = discounts.after_invoice(account, renewed)
    changed = update_subscription(
        account,
        subscription["id"],
        items=left["items"],
        discounts=left["discounts"],
        latest_invoice=draft["id"],
        status="active" if subscription["status"] == "trialing" else subscription["status"],
    )
    publish_draft(account, draft)
    schedule(account, changed)
