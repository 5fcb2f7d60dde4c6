"""Discounts of subscriptions by coupons (https://docs.stripe.com/billing/subscriptions/coupons)."""

from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from stripe_simulator.account import Account
from stripe_simulator.api_errors import invalid
from stripe_simulator.billing.objects import with_items
from stripe_simulator.billing_periods import period_end
from stripe_simulator.collection import StripeObject
from stripe_simulator.parameters import NOT_MODELLED

COUPONS: Final = "coupons"
DISCOUNTS: Final = "discounts"


def redeem(
    account: Account, subscription: StripeObject, given: list[dict[str, Any]], item: StripeObject | None = None
) -> list[str]:
    """Return the ids of the discounts, of the subscription or of an item, from now on.

    New coupons are redeemed, and discounts that are left out end.
    """
    wanted = [_kept_or_new(account, subscription, each, item) for each in given]
    for discount_id in (item or subscription)["discounts"]:
        if discount_id not in wanted:
            _end(account, discount_id)
    return wanted


def applied(account: Account, subscription: StripeObject, lines: list[StripeObject]) -> list[StripeObject]:
    """Return an invoice's lines with what each discount takes off, the items' own first.

    Prorations are not discountable.
    """
    for item in subscription["items"]["data"]:
        for discount_id in item["discounts"]:
            lines = _one_applied(discount_id, _coupon(account, discount_id), lines, item["id"])
    for discount_id in subscription["discounts"]:
        lines = _one_applied(discount_id, _coupon(account, discount_id), lines)
    return lines


def without_ended(account: Account, subscription: StripeObject) -> StripeObject:
    """Return a subscription without the discounts whose months are over."""
    left = left_at(account, subscription, account.clock.timestamp())
    for holder in (subscription, *subscription["items"]["data"]):
        for discount_id in holder["discounts"]:
            if _ends_by(account, discount_id, account.clock.timestamp()):
                _end(account, discount_id)
    return left


def left_at(account: Account, subscription: StripeObject, moment: int) -> StripeObject:
    """Return a subscription without the discounts whose months are over by then."""
    return _keeping(subscription, lambda discount_id: not _ends_by(account, discount_id, moment))


def after_invoice(account: Account, subscription: StripeObject) -> StripeObject:
    """Return a subscription after an invoice: a coupon with `duration=once` is then used up."""
    return _keeping(subscription, lambda discount_id: _coupon(account, discount_id)["duration"] != "once")


def _keeping(subscription: StripeObject, keeps: Callable[[str], bool]) -> StripeObject:
    items = [item | {"discounts": list(filter(keeps, item["discounts"]))} for item in subscription["items"]["data"]]
    kept = {"discounts": list(filter(keeps, subscription["discounts"])), "items": with_items(subscription, items)}
    return subscription | kept


def _ends_by(account: Account, discount_id: str, moment: int) -> bool:
    end: int | None = account[DISCOUNTS].get(discount_id)["end"]
    return end is not None and end <= moment


def _coupon(account: Account, discount_id: str) -> StripeObject:
    return account[COUPONS].get(account[DISCOUNTS].get(discount_id)["source"]["coupon"])


def _kept_or_new(account: Account, subscription: StripeObject, given: dict[str, Any], item: StripeObject | None) -> str:
    if "discount" in given:
        kept: str = account[DISCOUNTS].get(given["discount"], param="discounts", status=400)["id"]
        return kept
    if "coupon" not in given:
        raise invalid("The simulator models no promotion codes.", param="discounts", code=NOT_MODELLED)
    coupon = account[COUPONS].get(given["coupon"], param="discounts", status=400)
    if not coupon["valid"]:
        raise invalid(f"Coupon expired: {coupon['id']}", param="discounts", code="coupon_expired")
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
            "subscription_item": item["id"] if item else None,
        }
    )
    redeemed = coupon["times_redeemed"] + 1
    account.change(COUPONS, coupon, times_redeemed=redeemed, valid=redeemed != coupon["max_redemptions"])
    account.publish("customer.discount.created", discount)
    made: str = discount["id"]
    return made


def _end(account: Account, discount_id: str) -> None:
    account.publish("customer.discount.deleted", account[DISCOUNTS].get(discount_id))


def _one_applied(
    discount_id: str, coupon: StripeObject, lines: list[StripeObject], item_id: str | None = None
) -> list[StripeObject]:
    """Return the lines with one more discount, on all that are discountable or on those of an item."""
    counts = [line["discountable"] and item_id in (None, item_of(line)) for line in lines]
    taken = _parts(coupon, [net(line) if counted else 0 for line, counted in zip(lines, counts, strict=True)])
    return [
        line | {"discount_amounts": [*line["discount_amounts"], {"amount": part, "discount": discount_id}]}
        if counted
        else line
        for line, counted, part in zip(lines, counts, taken, strict=True)
    ]


def item_of(line: StripeObject) -> str:
    """Return the id of the subscription item that a line charges for."""
    item_id: str = line["parent"]["subscription_item_details"]["subscription_item"]
    return item_id


def net(line: StripeObject) -> int:
    """Return a line's amount less its discounts."""
    amount: int = line["amount"] - sum(each["amount"] for each in line["discount_amounts"])
    return amount


def _parts(coupon: StripeObject, amounts: list[int]) -> list[int]:
    """Return what the coupon takes off each amount. A fixed amount is shared out in proportion."""
    if coupon["percent_off"] is not None:
        percent = Decimal(str(coupon["percent_off"]))
        return [int((amount * percent / 100).to_integral_value(ROUND_HALF_UP)) for amount in amounts]
    total = sum(amounts)
    off = min(coupon["amount_off"], total)
    shared = [amount * off // (total or 1) for amount in amounts]
    largest = max(range(len(amounts)), key=amounts.__getitem__)
    shared[largest] += off - sum(shared)
    return shared
