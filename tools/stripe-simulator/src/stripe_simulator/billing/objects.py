"""Names, statuses and look-ups that all of billing shares."""

from typing import Any, Final

from stripe_simulator.account import Account
from stripe_simulator.collection import StripeObject

SUBSCRIPTIONS: Final = "subscriptions"
INVOICES: Final = "invoices"
BILLED: Final = frozenset({"trialing", "active", "past_due"})
ENDED: Final = frozenset({"canceled", "incomplete_expired"})
HOUR_SECONDS: Final = 3600
DAY_SECONDS: Final = 24 * HOUR_SECONDS


def update_subscription(account: Account, subscription_id: str, **changes: Any) -> StripeObject:
    """Change the subscription as it is now, and publish its event if something changed."""
    now = account[SUBSCRIPTIONS].get(subscription_id)
    return account.change(SUBSCRIPTIONS, now, "customer.subscription.updated", **changes)


def subscription_of(account: Account, invoice: StripeObject) -> StripeObject:
    """Return the subscription that an invoice charges for."""
    return account[SUBSCRIPTIONS].get(invoice["parent"]["subscription_details"]["subscription"])


def invoices_of(account: Account, subscription_id: str, *statuses: str) -> list[StripeObject]:
    """Return a subscription's invoices with one of these statuses, oldest first."""
    return [
        invoice
        for invoice in account[INVOICES]
        if invoice["status"] in statuses
        and invoice["parent"]["subscription_details"]["subscription"] == subscription_id
    ]


def current_period_end(subscription: StripeObject) -> int:
    """Return the end of the current billing period, in seconds."""
    end: int = max(item["current_period_end"] for item in subscription["items"]["data"])
    return end


def with_items(subscription: StripeObject, items: list[StripeObject]) -> StripeObject:
    """Return the subscription's list of items with this content."""
    return {**subscription["items"], "data": items}


def usable_method(account: Account, subscription: StripeObject) -> StripeObject | None:
    """Return the payment method that an invoice is charged to, or None if there is none or it was detached.

    The subscription's own comes first, then the customer's
    (https://docs.stripe.com/api/subscriptions/object#subscription_object-default_payment_method).
    """
    customer = account["customers"].find(subscription["customer"])
    if customer is None:
        return None
    method_id = subscription["default_payment_method"] or customer["invoice_settings"]["default_payment_method"]
    method = account["payment_methods"].find(method_id) if method_id else None
    return method if method and method["customer"] == customer["id"] else None
