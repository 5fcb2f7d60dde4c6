"""Amounts of money: integers in the currency's minor unit, and what Stripe accepts of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Money:
    """An amount in minor units of a currency, which is ISO 4217 in lower case as Stripe spells it."""

    minor_units: int
    currency: str

    def times(self, quantity: int) -> "Money":
        """Return what that many cost."""
        return Money(self.minor_units * quantity, self.currency)


def total(amounts: Iterable[Money], currency: str) -> Money:
    """Return the sum of amounts of one currency. Raises ValueError if another currency is among them."""
    sum_minor = 0
    for amount in amounts:
        if amount.currency != currency:
            raise ValueError("amounts of two currencies have no sum")
        sum_minor += amount.minor_units
    return Money(sum_minor, currency)


MAX_CHARGE: Final = 99_999_999
"""Eight digits, in minor units, is the most that Stripe charges at once.
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
"""Least charge in minor units; for a currency that is not listed Stripe's own answer decides.
Source: https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts"""

THREE_DECIMAL_CURRENCIES: Final = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})
"""Their amounts must end in 0. Source: https://docs.stripe.com/currencies#three-decimal"""


def charge_violation(amount: Money) -> str | None:
    """Return what Stripe would object to in a charge of this amount, as a phrase; None if nothing."""
    smallest = MIN_CHARGE.get(amount.currency, 1)
    if amount.minor_units < smallest:
        return f"must come to at least {smallest} {amount.currency} in minor units"
    if amount.minor_units > MAX_CHARGE:
        return f"must come to at most {MAX_CHARGE} {amount.currency} in minor units"
    if amount.currency in THREE_DECIMAL_CURRENCIES and amount.minor_units % 10:
        return f"must come to a multiple of 10 minor units in {amount.currency}"
    return None
