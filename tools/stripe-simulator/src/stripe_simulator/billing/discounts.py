"""Discounts of subscriptions by coupons (https://docs.stripe.com/billing/subscriptions/coupons)."""

from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from stripe_simulator.account import Account
from stripe_simulator.api_errors import invalid
from stripe_simulator.billing_periods import period_end
from stripe_simulator.collection import StripeObject
from stripe_simulator.parameters import NOT_MODELLED

COUPONS: Final = "coupons"
DISCOUNTS: Final = "discounts"


def redeem(account: Account, subscription: StripeObject, given: list[dict[str, Any]]) -> list[str]:
    """Return the ids of the subscription's discounts from now on. New coupons are redeemed, left out ones end."""
    before = {account[DISCOUNTS].get(each)["id"] for each in subscription["discounts"]}
    wanted = [_kept_or_new(account, subscription, each, place) for place, each in enumerate(given)]
    for discount_id in sorted(before - set(wanted)):
        _end(account, discount_id)
    return wanted


def applied(account: Account, subscription: StripeObject, lines: list[StripeObject]) -> list[StripeObject]:
    """Return an invoice's lines with what each discount takes off. Prorations are not discountable."""
    for discount_id in subscription["discounts"]:
        coupon = account[COUPONS].get(account[DISCOUNTS].get(discount_id)["source"]["coupon"])
        lines = _one_applied(discount_id, coupon, lines)
    return lines


def without_ended(account: Account, subscription: StripeObject) -> StripeObject:
    """Return a subscription without the discounts whose months are over."""
    now = account.clock.timestamp()
    kept = []
    for discount_id in subscription["discounts"]:
        end = account[DISCOUNTS].get(discount_id)["end"]
        if end is not None and end <= now:
            _end(account, discount_id)
        else:
            kept.append(discount_id)
    return subscription | {"discounts": kept}


def after_invoice(account: Account, subscription: StripeObject, *, free: bool = False) -> list[str]:
    """Return the discounts that are left after an invoice: a coupon with `duration=once` is then used up."""
    return [each for each in subscription["discounts"] if free or _coupon(account, each)["duration"] != "once"]


def _coupon(account: Account, discount_id: str) -> StripeObject:
    return account[COUPONS].get(account[DISCOUNTS].get(discount_id)["source"]["coupon"])


def _kept_or_new(account: Account, subscription: StripeObject, given: dict[str, Any], place: int) -> str:
    if "discount" in given:
        kept: str = account[DISCOUNTS].get(given["discount"], param=f"discounts[{place}][discount]", status=400)["id"]
        return kept
    if "coupon" not in given:
        raise invalid("The simulator models no promotion codes.", param=f"discounts[{place}]", code=NOT_MODELLED)
    coupon = account[COUPONS].get(given["coupon"], param=f"discounts[{place}][coupon]", status=400)
    if not coupon["valid"]:
        raise invalid(f"Coupon expired: {coupon['id']}", param=f"discounts[{place}][coupon]", code="coupon_expired")
    if coupon["currency"] not in (None, subscription["currency"]):
        raise invalid("The coupon and the subscription must have the same currency.", param="discounts")
    now = account.clock.timestamp()
    months = coupon["duration_in_months"]
    discount = account[DISCOUNTS].add(
        {
            "id": account.ids.new("di"),
            "object": "discount",
            "checkout_session": None,
            "customer": subscription["customer"],
            "customer_account": None,
            "end": period_end(now, "month", months, after=now) if months else None,
            "invoice": None,
            "invoice_item": None,
            "promotion_code": None,
            "source": {"coupon": coupon["id"], "type": "coupon"},
            "start": now,
            "subscription": subscription["id"],
            "subscription_item": None,
        }
    )
    redeemed = coupon["times_redeemed"] + 1
    account.change(COUPONS, coupon, times_redeemed=redeemed, valid=redeemed != coupon["max_redemptions"])
    account.publish("customer.discount.created", discount)
    made: str = discount["id"]
    return made


def _end(account: Account, discount_id: str) -> None:
    account.publish("customer.discount.deleted", account[DISCOUNTS].get(discount_id))


def _one_applied(discount_id: str, coupon: StripeObject, lines: list[StripeObject]) -> list[StripeObject]:
    left = [_net(line) if line["discountable"] else 0 for line in lines]
    taken = _parts(coupon, left)
    return [
        line | {"discount_amounts": [*line["discount_amounts"], {"amount": part, "discount": discount_id}]}
        if line["discountable"]
        else line
        for line, part in zip(lines, taken, strict=True)
    ]


def _net(line: StripeObject) -> int:
    amount: int = line["amount"] - sum(each["amount"] for each in line["discount_amounts"])
    return amount


def _parts(coupon: StripeObject, amounts: list[int]) -> list[int]:
    """Return what the coupon takes off each amount. A fixed amount is shared out in proportion."""
    if coupon["percent_off"] is not None:
        percent = Decimal(str(coupon["percent_off"]))
        return [int((amount * percent / 100).to_integral_value(ROUND_HALF_UP)) for amount in amounts]
    total = sum(amounts)
    off = min(coupon["amount_off"], total)
    parts, given = [], 0
    for place, amount in enumerate(amounts):
        part = off - given if place == len(amounts) - 1 else amount * off // (total or 1)
        parts.append(part)
        given += part
    return parts
