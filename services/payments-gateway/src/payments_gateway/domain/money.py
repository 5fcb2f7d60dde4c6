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


MAX_CHARGE: Final = 99_999_999
"""Stripe's maximum charge: eight digits in minor units.
Source: https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts"""

MIN_CHARGE: Final[Mapping[str, int]] = {
    "aed": 200,
    "aud": 50,
    "bgn": 100,
    "brl": 50,
    "cad": 50,
    "chf": 50,
    "czk": 1500,
    "dkk": 250,
    "eur": 50,
    "gbp": 30,
    "hkd": 400,
    "huf": 17500,
    "inr": 50,
    "jpy": 50,
    "mxn": 1000,
    "myr": 200,
    "nok": 300,
    "nzd": 50,
    "pln": 200,
    "ron": 200,
    "sek": 300,
    "sgd": 50,
    "thb": 1000,
    "usd": 50,
}
"""Stripe's minimum charge in minor units. Stripe itself decides for a currency that is not listed.
Source: https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts"""

THREE_DECIMAL_CURRENCIES: Final = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})
"""Stripe requires their amounts to end in 0. Source: https://docs.stripe.com/currencies#three-decimal"""


def charge_violation(amount: Money) -> str | None:
    """Return the limit of Stripe's that a charge of this amount breaks, as a phrase; None if it breaks none."""
    minimum = MIN_CHARGE.get(amount.currency, 1)
    if amount.minor_units < minimum:
        return f"must come to at least {minimum} {amount.currency} in minor units"
    if amount.minor_units > MAX_CHARGE:
        return f"must come to at most {MAX_CHARGE} {amount.currency} in minor units"
    if amount.currency in THREE_DECIMAL_CURRENCIES and amount.minor_units % 10:
        return f"must come to a multiple of 10 minor units in {amount.currency}"
    return None
