"""A small shop's catalogue, and valid checkouts for tests to change."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from payments_gateway.checkout.attempt_ids import AttemptIds
from payments_gateway.checkout.carts import Cart, CartLine
from payments_gateway.checkout.initiate import CheckoutRequest
from payments_gateway.domain.attempts import (
    Address,
    Attempt,
    CheckoutContext,
    Contact,
    IntentKind,
    IntentRef,
    Interval,
    LineItem,
    Recurring,
    ShippingOption,
)
from payments_gateway.domain.callers import Caller
from payments_gateway.domain.catalogue import Catalogue, Price, ShippingRate
from payments_gateway.domain.money import Money

ADA: Final = Contact(name="Ada Lovelace", email="ada@example.com", phone="+44 20 7946 0958")
LONDON: Final = Address("12 St James's Square", None, "London", None, "SW1Y 4JH", "GB")


MONTHLY: Final = Recurring(Interval.MONTH, 1, trial_days=0)
MONTHLY_AFTER_A_WEEK: Final = Recurring(Interval.MONTH, 1, trial_days=7)
YEARLY: Final = Recurring(Interval.YEAR, 1, trial_days=0)
WEEKLY_AFTER_A_FORTNIGHT: Final = Recurring(Interval.WEEK, 1, trial_days=14)


def price(
    price_id: str,
    minor_units: int | None,
    currency: str = "usd",
    *,
    why_not: str | None = None,
    recurring: Recurring | None = None,
) -> Price:
    """Return a price, on sale unless a reason is given."""
    return Price(
        id=price_id,
        product_id=price_id.replace("price", "prod"),
        name=f"Name of {price_id}",
        description=None,
        image_url=None,
        unit_price=None if minor_units is None else Money(minor_units, currency),
        unsellable_reason=why_not,
        recurring=recurring,
    )


def shipping_rate(rate_id: str, minor_units: int, currency: str = "usd") -> ShippingRate:
    """Return a shipping rate."""
    return ShippingRate(rate_id, f"Name of {rate_id}", Money(minor_units, currency))


def catalogue(*prices: Price, shipping: tuple[ShippingRate, ...] = ()) -> Catalogue:
    """Return a catalogue of these prices and shipping rates."""
    return Catalogue({one.id: one for one in prices}, {rate.id: rate for rate in shipping})


SHOP: Final = catalogue(
    price("price_mug", 1250),
    price("price_pen", 300),
    price("price_tee_eur", 2000, "eur"),
    price("price_fan_jpy", 700, "jpy"),
    price("price_odd_kwd", 1235, "kwd"),
    price("price_gift", 0),
    price("price_cent", 1),
    price("price_car", 99_999_999),
    price("price_tiered", None, why_not="is priced in tiers"),
    price("price_metered", 5, why_not="is metered"),
    price("price_club", 900, recurring=MONTHLY),
    price("price_care", 350, recurring=MONTHLY),
    price("price_box_trial", 2900, recurring=MONTHLY_AFTER_A_WEEK),
    price("price_almanac", 9000, recurring=YEARLY),
    price("price_paper_trial", 200, recurring=WEEKLY_AFTER_A_FORTNIGHT),
    price("price_club_eur", 800, "eur", recurring=MONTHLY),
    price("price_letter", 0, recurring=YEARLY),
    price("price_dues", 1, recurring=YEARLY),
    price("price_yacht", 99_999_999, recurring=YEARLY),
    *(price(f"price_box_{number}", 100, recurring=MONTHLY) for number in range(1, 23)),
    *(price(f"price_every_{days}", 100, recurring=Recurring(Interval.DAY, days, trial_days=0)) for days in range(2, 9)),
    shipping=(shipping_rate("shr_post", 500), shipping_rate("shr_post_eur", 400, "eur"), shipping_rate("shr_free", 0)),
)


def cart(*lines: tuple[str, int], shipping_option_id: str | None = None) -> Cart:
    """Return a cart of price ids and quantities."""
    return Cart(tuple(CartLine(*line) for line in lines), shipping_option_id)


def checkout_request(*lines: tuple[str, int], supersedes: str | None = None) -> CheckoutRequest:
    """Return a request to begin a checkout; equal arguments give equal request hashes."""
    asked = cart(*lines or [("price_mug", 2)])
    digest = hashlib.sha256(repr((asked, supersedes)).encode()).digest()
    return CheckoutRequest(asked, ADA, LONDON, supersedes, digest)


def checkout_json(**changes: Any) -> dict[str, Any]:
    """Return the body of a request to begin a checkout; a change to None leaves the field out."""
    body = {
        "items": [{"priceId": "price_mug", "quantity": 2}],
        "contact": {"email": "ada@example.com", "name": "Ada Lovelace"},
        **changes,
    }
    return {name: value for name, value in body.items() if value is not None}


def address_json(**changes: Any) -> dict[str, Any]:
    """Return a shipping address as a client sends it."""
    return {"line1": "12 St James's Square", "city": "London", "postalCode": "SW1Y 4JH", "country": "GB", **changes}


CONTEXT: Final = CheckoutContext(
    user_id=None,
    contact=ADA,
    shipping_address=LONDON,
    shipping_option=ShippingOption("shr_post", "Post", Money(500, "usd")),
    items=(
        LineItem("price_mug", "prod_mug", "Mug", 2, Money(1250, "usd")),
        LineItem("price_pen", "prod_pen", "Pen", 1, Money(300, "usd")),
    ),
    total=Money(3300, "usd"),
    pay_by=datetime(2030, 1, 2, 12, tzinfo=UTC),
    supersedes=None,
)

INTENT_CREATED_AT: Final = datetime(2030, 1, 1, 12, tzinfo=UTC)

ATTEMPT_ID_SECRET: Final = b"attempt-id-secret-of-the-tests.."


def attempt_id_of(key: str, secret: bytes = ATTEMPT_ID_SECRET) -> str:
    """Return an attempt id of ours, or of the shop that has this secret."""
    return AttemptIds([secret]).derive(Caller("user_ada"), key)


ATTEMPT_ID: Final = attempt_id_of("first checkout")
OTHER_ATTEMPT_ID: Final = attempt_id_of("other checkout")
FOREIGN_ATTEMPT_ID: Final = attempt_id_of("first checkout", b"attempt-id-secret-of-other-shop.")


def attempt(ref: IntentRef, *, user_id: str | None = None, attempt_id: str = ATTEMPT_ID) -> Attempt:
    """Return an open attempt of an intent."""
    return Attempt(attempt_id, b"h" * 32, replace(CONTEXT, user_id=user_id), ref, close_reason=None)


def intent_ref(intent_id: str) -> IntentRef:
    """Return a PaymentIntent's ref."""
    return IntentRef(intent_id, IntentKind.PAYMENT)
