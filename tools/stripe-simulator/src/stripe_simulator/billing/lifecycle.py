"""Creation of a subscription, and its pause after a trial without a payment method."""

from stripe_simulator.account import Account
from stripe_simulator.api_errors import invalid
from stripe_simulator.billing import discounts, prorations, renewals
from stripe_simulator.billing.endings import schedule_cancellation, schedule_expiry
from stripe_simulator.billing.finalization import finalize_now
from stripe_simulator.billing.objects import INVOICES, SUBSCRIPTIONS
from stripe_simulator.collection import StripeObject
from stripe_simulator.resources.new_invoice import new_invoice, subscription_lines


def create(account: Account, subscription: StripeObject, *, charge: bool, off_session: bool) -> StripeObject:
    """Store a new subscription with its first invoice, which is finalized at once, and charge it if told to."""
    customer = account["customers"].get(subscription["customer"])
    account.change("customers", customer, "customer.updated", currency=subscription["currency"])
    trial = subscription["status"] == "trialing"
    lines = discounts.applied(account, subscription, subscription_lines(account, subscription, free=trial))
    draft = new_invoice(account, subscription, "subscription_create", lines)
    draft |= {"auto_advance": not trial}
    account[INVOICES].add(draft)
    prorations.note_billed(account, lines)
    left = subscription if trial else discounts.after_invoice(account, subscription)
    created = account[SUBSCRIPTIONS].add(left | {"latest_invoice": draft["id"]})
    account.publish("customer.subscription.created", created)
    schedule_expiry(account, created)
    if created["cancel_at"] and not created["cancel_at_period_end"]:
        schedule_cancellation(account, created)
    if trial:
        renewals.announce_trial_end(account, created)
    finalize_now(account, draft, charge=charge, off_session=off_session)
    _activate_if_free(account, created, draft)
    created = account[SUBSCRIPTIONS].get(created["id"])
    renewals.schedule(account, created)
    return created


def _activate_if_free(account: Account, created: StripeObject, draft: StripeObject) -> None:
    """Activate a subscription whose first invoice needs no payment."""
    now = account[SUBSCRIPTIONS].get(created["id"])
    if now["status"] == "incomplete" and account[INVOICES].get(draft["id"])["status"] == "paid":
        account.change(SUBSCRIPTIONS, now, "customer.subscription.updated", status="active")


def check_currency(customer: StripeObject, currency: str) -> None:
    """Refuse a second currency for a customer.

    Stripe can lift it for customers without an active subscription
    (https://docs.stripe.com/invoicing/multi-currency-customers); the simulator never does.
    """
    if customer["currency"] not in (None, currency):
        raise invalid(
            "You cannot combine currencies on a single customer. This customer has an active subscription, "
            "subscription schedule, discount, quote, invoice item or active subscription mode checkout session with "
            f"currency {customer['currency']}."
        )


def pause(account: Account, subscription: StripeObject) -> StripeObject:
    """Pause a subscription, as after a trial without a payment method."""
    return account.change(SUBSCRIPTIONS, subscription, "customer.subscription.paused", status="paused")
