"""Amounts of money in minor units, and Stripe's limits on them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in minor units; the currency is a lower-case ISO 4217 code, as at Stripe."""

    minor_units: int
    currency: str

    def times(self, quantity: int) -> "Money":
        """Return the amount multiplied by a quantity."""
        return Money(self.minor_units * quantity, self.currency)


def total(amounts: Iterable[Money], currency: str) -> Money:
    """Return the sum. Raises ValueError for an amount in another currency."""
    sum_minor = 0
    for amount in amounts:
        if amount.currency != currency:
            raise ValueError("amounts in two currencies cannot be added")
        sum_minor += amount.minor_units
    return Money(sum_minor, currency)


MIN_CHARGE: Final[Mapping[str, int]] = {
    "aed": 200,
    "ars": 50,
    "aud": 50,
    "bgn": 100,
    "brl": 50,
    "cad": 50,
    "chf": 50,
    "cop": 50,
    "czk": 1500,
    "dkk": 250,
    "eur": 50,
    "gbp": 30,
    "hkd": 400,
    "huf": 17500,
    "idr": 50,
    "ils": 50,
    "inr": 50,
    "jpy": 50,
    "krw": 50,
    "mxn": 1000,
    "myr": 200,
    "nok": 300,
    "nzd": 50,
    "php": 50,
    "pln": 200,
    "ron": 200,
    "rub": 50,
    "sek": 300,
    "sgd": 50,
    "thb": 1000,
    "usd": 50,
    "zar": 50,
}
"""Stripe's minimum charge in minor units, for an account that is paid out in the same currency. One that is paid out in
another needs the equivalent of that one's minimum, and for a currency that is not listed there is no other: Stripe
itself refuses then. BGN is only on the page's versions of before 2026.
Source: https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts"""

MAX_DIGITS: Final[Mapping[str, int]] = {"idr": 12, "lbp": 11, "cop": 10, "huf": 10, "jpy": 10, "inr": 9}
"""Digits of Stripe's maximum charge in minor units, for the currencies that the page names. For others the page says 8
for most payment methods and, since 2026, 12 for most cards; the API reference says 8, and so do we.
Sources: https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts,
https://docs.stripe.com/api/payment_intents/create#create_payment_intent-amount"""
_MAX_DIGITS_ELSEWHERE: Final = 8

CHARGE_STEPS: Final[Mapping[str, int]] = {
    **dict.fromkeys(("bhd", "jod", "kwd", "omr", "tnd"), 10),
    **dict.fromkeys(("isk", "ugx"), 100),
}
"""Minor units of which a charge must be a multiple. Three-decimal amounts end in 0. ISK and UGX have no decimals any
more, and Stripe still counts them in hundredths. HUF and TWD may have decimals: only payouts may not.
Sources: https://docs.stripe.com/currencies#three-decimal, https://docs.stripe.com/currencies#special-cases"""


def max_charge(currency: str) -> int:
    """Return Stripe's maximum charge in minor units."""
    largest: int = 10 ** MAX_DIGITS.get(currency, _MAX_DIGITS_ELSEWHERE) - 1
    return largest


def charge_violation(amount: Money) -> str | None:
    """Return the limit of Stripe's that a charge of this amount breaks, as a phrase; None if it breaks none."""
    minimum, maximum = MIN_CHARGE.get(amount.currency, 1), max_charge(amount.currency)
    step = CHARGE_STEPS.get(amount.currency, 1)
    if amount.minor_units < minimum:
        return f"must come to at least {minimum} {amount.currency} in minor units"
    if amount.minor_units > maximum:
        return f"must come to at most {maximum} {amount.currency} in minor units"
    if amount.minor_units % step:
        return f"must come to a multiple of {step} minor units in {amount.currency}"
    return None
