"""Construction of a subscription's invoices (https://docs.stripe.com/api/invoices/object)."""

from typing import Any

from stripe_simulator.account import Account
from stripe_simulator.collection import StripeObject
from stripe_simulator.money import format_amount


def new_invoice(
    account: Account, subscription: StripeObject, reason: str, lines: list[StripeObject], since: int | None = None
) -> StripeObject:
    """Return a draft with these lines. The caller stores it. `since` is the start of the period before, if any."""
    now = account.clock.timestamp()
    invoice_id = account.ids.new("in")
    subtotal = sum(line["amount"] for line in lines)
    taken = _discount_amounts(lines)
    total = subtotal - sum(each["amount"] for each in taken)
    due = max(total, 0)
    parent = {
        "quote_details": None,
        "subscription_details": {"metadata": subscription["metadata"], "subscription": subscription["id"]},
        "type": "subscription_details",
    }
    return {
        "id": invoice_id,
        "object": "invoice",
        "account_country": "US",
        "account_name": None,
        "account_tax_ids": None,
        "amount_due": due,
        "amount_overpaid": 0,
        "amount_paid": 0,
        "amount_remaining": due,
        "amount_shipping": 0,
        "application": None,
        "attempt_count": 0,
        "attempted": False,
        "auto_advance": True,
        "automatic_tax": {
            "disabled_reason": None,
            "enabled": False,
            "liability": None,
            "provider": None,
            "status": None,
        },
        "automatically_finalizes_at": None,
        "billing_reason": reason,
        "collection_method": "charge_automatically",
        "created": now,
        "currency": subscription["currency"],
        "custom_fields": None,
        "customer": subscription["customer"],
        "customer_account": None,
        **_customer_fields(account["customers"].get(subscription["customer"])),
        "default_payment_method": None,
        "default_source": None,
        "default_tax_rates": [],
        "description": None,
        "discounts": [each["discount"] for each in taken],
        "due_date": None,
        "effective_at": None,
        "ending_balance": None,
        "footer": None,
        "from_invoice": None,
        "hosted_invoice_url": None,
        "invoice_pdf": None,
        "issuer": {"type": "self"},
        "last_finalization_error": None,
        "latest_revision": None,
        "lines": {
            "object": "list",
            "data": [line | {"invoice": invoice_id} for line in lines],
            "has_more": False,
            "url": f"/v1/invoices/{invoice_id}/lines",
        },
        "livemode": account.livemode,
        "metadata": {},
        "next_payment_attempt": None,
        "number": None,
        "on_behalf_of": None,
        "parent": parent,
        "payment_settings": {"default_mandate": None, "payment_method_options": None, "payment_method_types": None},
        "period_end": now,
        "period_start": since or now,
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "receipt_number": None,
        "rendering": None,
        "shipping_cost": None,
        "shipping_details": None,
        "starting_balance": 0,
        "statement_descriptor": None,
        "status": "draft",
        "status_transitions": {
            "finalized_at": None,
            "marked_uncollectible_at": None,
            "paid_at": None,
            "voided_at": None,
        },
        "subtotal": subtotal,
        "subtotal_excluding_tax": subtotal,
        "test_clock": None,
        "total": total,
        "total_discount_amounts": taken,
        "total_excluding_tax": total,
        "total_pretax_credit_amounts": [],
        "total_taxes": [],
        "webhooks_delivered_at": None,
    }


def _customer_fields(customer: StripeObject) -> StripeObject:
    """Return the customer's data, which an invoice copies."""
    names = ("address", "email", "name", "phone", "shipping", "tax_exempt")
    return {f"customer_{name}": customer[name] for name in names} | {"customer_tax_ids": []}


def subscription_lines(account: Account, subscription: StripeObject, *, free: bool = False) -> list[StripeObject]:
    """Return one line for each item of a subscription, for its current period. In a trial they are free."""
    return [_item_line(account, subscription, item, free=free) for item in subscription["items"]["data"]]


def _item_line(account: Account, subscription: StripeObject, item: StripeObject, *, free: bool) -> StripeObject:
    price, quantity = item["price"], item["quantity"]
    details = {
        "invoice_item": None,
        "proration": False,
        "proration_details": {"credited_items": None},
        "subscription": subscription["id"],
        "subscription_item": item["id"],
    }
    return _line(
        account,
        amount=0 if free else price["unit_amount"] * quantity,
        currency=price["currency"],
        description=_description(account, price, quantity),
        metadata=subscription["metadata"],
        parent={
            "invoice_item_details": None,
            "subscription_item_details": details,
            "type": "subscription_item_details",
        },
        period={"start": item["current_period_start"], "end": item["current_period_end"]},
        pricing={
            "price_details": {"price": price["id"], "product": price["product"]},
            "type": "price_details",
            "unit_amount_decimal": price["unit_amount_decimal"],
        },
        quantity=quantity,
        subscription=subscription["id"],
    )


def proration_line(account: Account, item: StripeObject) -> StripeObject:
    """Return the line of a proration's invoice item."""
    owner = item["parent"]["subscription_details"]
    details = {
        "invoice_item": item["id"],
        "proration": True,
        "proration_details": {"credited_items": None},
        "subscription": owner["subscription"],
        "subscription_item": owner["subscription_item"],
    }
    return _line(
        account,
        amount=item["amount"],
        currency=item["currency"],
        description=item["description"],
        metadata={},
        parent={
            "invoice_item_details": None,
            "subscription_item_details": details,
            "type": "subscription_item_details",
        },
        period=item["period"],
        pricing=item["pricing"],
        quantity=item["quantity"],
        subscription=owner["subscription"],
        discountable=False,
    )


def _line(account: Account, *, amount: int, quantity: int, discountable: bool = True, **fields: Any) -> StripeObject:
    return {
        "id": account.ids.new("il"),
        "object": "line_item",
        "amount": amount,
        "discount_amounts": [],
        "discountable": discountable,
        "discounts": [],
        "livemode": account.livemode,
        "pretax_credit_amounts": [],
        "quantity": quantity,
        "quantity_decimal": str(quantity),
        "subtotal": amount,
        "taxes": [],
        **fields,
    }


def _discount_amounts(lines: list[StripeObject]) -> list[StripeObject]:
    """Return what each discount takes off all lines together."""
    taken: dict[str, int] = {}
    for line in lines:
        for each in line["discount_amounts"]:
            taken[each["discount"]] = taken.get(each["discount"], 0) + each["amount"]
    return [{"amount": amount, "discount": discount} for discount, amount in taken.items()]


def _description(account: Account, price: StripeObject, quantity: int) -> str:
    """Return the text of a line: quantity, product and unit price."""
    name = account["products"].get(price["product"])["name"]
    unit = format_amount(price["unit_amount"], price["currency"])
    return f"{quantity} × {name} (at {unit} / {price['recurring']['interval']})"  # noqa: RUF001 - Stripe's own sign
