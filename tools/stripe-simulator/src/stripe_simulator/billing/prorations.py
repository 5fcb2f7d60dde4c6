"""Prorations: credits and charges for a plan that changes within its period.

See https://docs.stripe.com/billing/subscriptions/prorations. As with `billing_mode=flexible`, a credit is a part of
what was last billed for the item. Each is an invoice item that waits for the next invoice of the subscription.
"""

from decimal import Decimal
from typing import Final

from stripe_simulator.account import Account
from stripe_simulator.billing import discounts
from stripe_simulator.billing.objects import SUBSCRIPTIONS
from stripe_simulator.collection import StripeObject
from stripe_simulator.resources.new_invoice import proration_line, subscription_lines

INVOICE_ITEMS: Final = "invoiceitems"
_TWELVE_DECIMALS: Final = Decimal("1e-12")


def note_billed(account: Account, lines: list[StripeObject]) -> None:
    """Remember what an invoice bills for each item's present period, discounts included."""
    for line in lines:
        if not line["parent"]["subscription_item_details"]["proration"]:
            account.secrets[f"billed:{discounts.item_of(line)}"] = discounts.net(line)


def prorate(account: Account, before: StripeObject, after: StripeObject, *, whole: bool) -> None:
    """Create invoice items for the items that differ: a credit for the old price, and a charge for the new one.

    With `whole` the period ends now: every item is credited, and the next period is billed by itself.
    """
    old = {item["id"]: item for item in before["items"]["data"]}
    new = {item["id"]: item for item in after["items"]["data"]}
    changed = [key for key in {**old, **new} if whole or _billed_as(old.get(key)) != _billed_as(new.get(key))]
    for key in changed:
        if key in old:
            _add(account, old[key], -account.secrets.get(f"billed:{key}", 0), "Unused time on")
    if whole:
        return
    lines = discounts.applied(account, after, subscription_lines(account, after))
    charged = [line for line in lines if discounts.item_of(line) in changed]
    for line in charged:
        _add(account, new[discounts.item_of(line)], discounts.net(line), "Remaining time on")
    note_billed(account, charged)


def pending_lines(account: Account, subscription_id: str) -> list[StripeObject]:
    """Return the lines of the invoice items that wait for an invoice."""
    return [proration_line(account, item) for item in _pending(account, subscription_id)]


def mark_invoiced(account: Account, invoice: StripeObject) -> None:
    """Name the invoice in the invoice items that it contains."""
    for item in _pending(account, invoice["parent"]["subscription_details"]["subscription"]):
        account.change(INVOICE_ITEMS, item, invoice=invoice["id"])


def _pending(account: Account, subscription_id: str) -> list[StripeObject]:
    return [
        item
        for item in account[INVOICE_ITEMS]
        if item["invoice"] is None and item["parent"]["subscription_details"]["subscription"] == subscription_id
    ]


def _billed_as(item: StripeObject | None) -> tuple[str, int] | None:
    return (item["price"]["id"], item["quantity"]) if item else None


def _part(amount: int, item: StripeObject, now: int) -> int:
    """Return the part of a period's amount for the time that is left of it, rounded half away from zero."""
    start, end = item["current_period_start"], item["current_period_end"]
    whole, left = end - start, end - now
    part: int = (2 * abs(amount) * left + whole) // (2 * whole)
    return part if amount > 0 else -part


def _unit(amount: int, quantity: int) -> str:
    """Return the amount of one, with at most twelve decimals, as Stripe's prices have."""
    return f"{(Decimal(amount) / (quantity or 1)).quantize(_TWELVE_DECIMALS).normalize():f}"


def _add(account: Account, item: StripeObject, amount: int, text: str) -> None:
    """Store the invoice item for the part of an item's amount that is left of its period."""
    now = account.clock.timestamp()
    subscription = account[SUBSCRIPTIONS].get(item["subscription"])
    name = account["products"].get(item["price"]["product"])["name"]
    part = _part(amount, item, now)
    made = account[INVOICE_ITEMS].add(
        {
            "id": account.ids.new("ii"),
            "object": "invoiceitem",
            "amount": part,
            "currency": subscription["currency"],
            "customer": subscription["customer"],
            "customer_account": None,
            "date": now,
            "description": f"{text} {name}",
            "discountable": False,
            "discounts": [],
            "invoice": None,
            "livemode": account.livemode,
            "metadata": {},
            "net_amount": part,
            "parent": {
                "subscription_details": {"subscription": subscription["id"], "subscription_item": item["id"]},
                "type": "subscription_details",
            },
            "period": {"start": now, "end": item["current_period_end"]},
            "pricing": {
                "price_details": {"price": item["price"]["id"], "product": item["price"]["product"]},
                "type": "price_details",
                "unit_amount_decimal": _unit(part, item["quantity"]),
            },
            "proration": True,
            "proration_details": {"credited_items": None, "discount_amounts": []},
            "quantity": item["quantity"],
            "quantity_decimal": str(item["quantity"]),
            "tax_rates": [],
            "test_clock": None,
        }
    )
    account.publish("invoiceitem.created", made)
