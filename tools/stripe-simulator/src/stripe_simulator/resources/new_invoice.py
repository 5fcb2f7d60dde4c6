"""Construction of a subscription's invoices."""

from typing import Any

from stripe_simulator.account import Account
from stripe_simulator.collection import StripeObject


def new_invoice(account: Account, subscription: StripeObject, reason: str, amount: int) -> StripeObject:
    """Return the draft for a subscription's current period. The caller stores it."""
    now = account.clock.timestamp()
    items = subscription["items"]["data"]
    parent = {
        "quote_details": None,
        "subscription_details": {"metadata": subscription["metadata"], "subscription": subscription["id"]},
        "type": "subscription_details",
    }
    return {
        "id": account.ids.new("in"),
        "object": "invoice",
        "account_country": "US",
        "account_name": None,
        "amount_due": amount,
        "amount_overpaid": 0,
        "amount_paid": 0,
        "amount_remaining": amount,
        "amount_shipping": 0,
        "application": None,
        "attempt_count": 0,
        "attempted": False,
        "auto_advance": True,
        "billing_reason": reason,
        "collection_method": "charge_automatically",
        "created": now,
        "currency": subscription["currency"],
        "customer": subscription["customer"],
        "customer_email": account["customers"].get(subscription["customer"])["email"],
        "default_payment_method": None,
        "description": None,
        "discounts": [],
        "due_date": None,
        "effective_at": now,
        "ending_balance": 0,
        "hosted_invoice_url": None,
        "invoice_pdf": None,
        "lines": {"object": "list", "data": _lines(account, items, amount), "has_more": False, "url": "/v1/invoices"},
        "livemode": False,
        "metadata": {},
        "next_payment_attempt": None,
        "number": account.ids.fingerprint()[:8].upper() + "-0001",
        "on_behalf_of": None,
        "parent": parent,
        "period_end": now,
        "period_start": min(item["current_period_start"] for item in items),
        "starting_balance": 0,
        "status": "draft",
        "status_transitions": {
            "finalized_at": now,
            "marked_uncollectible_at": None,
            "paid_at": None,
            "voided_at": None,
        },
        "subtotal": amount,
        "total": amount,
    }


def _lines(account: Account, items: list[Any], amount: int) -> list[StripeObject]:
    return [
        {
            "id": account.ids.new("il"),
            "object": "line_item",
            "amount": item["price"]["unit_amount"] * item["quantity"] if amount else 0,
            "currency": item["price"]["currency"],
            "period": {"start": item["current_period_start"], "end": item["current_period_end"]},
            "quantity": item["quantity"],
        }
        for item in items
    ]
