"""Finalization of the drafts that renewals create.

Stripe waits an hour after every endpoint has acknowledged `invoice.created`, and at most 72 hours
(https://docs.stripe.com/invoicing/integration/workflow-transitions#finalized). The first invoice of a subscription, and
one that an update charges for at once, does not wait (https://docs.stripe.com/billing/subscriptions/webhooks).
"""

from typing import Final

from stripe_simulator.account import Account
from stripe_simulator.billing.invoices import finalize, mark_uncollectible, void
from stripe_simulator.billing.objects import HOUR_SECONDS, INVOICES, subscription_of
from stripe_simulator.billing.payments import collect, recover
from stripe_simulator.collection import StripeObject

_LONGEST_WAIT_SECONDS: Final = 72 * HOUR_SECONDS


def publish_draft(account: Account, draft: StripeObject) -> None:
    """Publish a draft and finalize it later."""
    account.secrets[f"created:{draft['id']}"] = account.publish("invoice.created", draft)
    account.secrets[f"paused:{draft['id']}"] = (subscription_of(account, draft)["pause_collection"] or {}).get(
        "behavior"
    )
    if draft["auto_advance"]:
        finalize_in_an_hour(account, draft)


def finalize_in_an_hour(account: Account, draft: StripeObject) -> None:
    """Finalize and charge a draft in an hour, if its webhook was acknowledged by then."""
    _look_again(account, account.clock.timestamp() + HOUR_SECONDS, draft)


def finalize_now(account: Account, draft: StripeObject, *, charge: bool = True, off_session: bool = False) -> None:
    """Publish a draft, finalize it and charge it at once."""
    account.publish("invoice.created", draft)
    invoice = open_for_payment(account, draft["id"])
    if charge and invoice["status"] == "open":
        collect(account, invoice["id"], off_session=off_session)


def open_for_payment(account: Account, invoice_id: str) -> StripeObject:
    """Finalize a draft. One that costs nothing is paid, and so may activate a past due subscription."""
    invoice = finalize(account, invoice_id)
    if invoice["status"] == "paid":
        recover(account, invoice)
    return invoice


def _look_again(account: Account, moment: int, draft: StripeObject) -> None:
    account.change(INVOICES, draft, automatically_finalizes_at=moment, next_payment_attempt=moment)
    account.scheduler.add_at(moment, lambda: _finalize_if_ready(account, draft["id"], moment))


def _finalize_if_ready(account: Account, invoice_id: str, moment: int) -> None:
    draft = account[INVOICES].get(invoice_id)
    if draft["status"] != "draft" or draft["automatically_finalizes_at"] != moment:
        return
    now = account.clock.now()
    latest = draft["created"] + _LONGEST_WAIT_SECONDS
    acknowledged = account.acknowledged_at(account.secrets[f"created:{invoice_id}"])
    due = latest if acknowledged is None else min(int(acknowledged) + HOUR_SECONDS, latest)
    if now < due:
        _look_again(account, int(min(now + HOUR_SECONDS, due) if acknowledged is None else due), draft)
        return
    delivered_at = None if acknowledged is None else int(acknowledged)
    account.change(INVOICES, draft, webhooks_delivered_at=delivered_at)
    _finish(account, invoice_id)


def _finish(account: Account, invoice_id: str) -> None:
    """Finalize and charge, unless collection was paused when the draft was created.

    "Invoices created before subscriptions are paused continue to be retried", and all that are created before a pause
    ends are void (https://docs.stripe.com/billing/subscriptions/pause-payment).
    """
    invoice = open_for_payment(account, invoice_id)
    if invoice["status"] != "open":
        return
    paused = account.secrets[f"paused:{invoice_id}"]
    if paused == "void":
        void(account, invoice)
    elif paused == "mark_uncollectible":
        mark_uncollectible(account, invoice)
    else:
        collect(account, invoice_id)
