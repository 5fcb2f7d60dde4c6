import json
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments_gateway.domain.money import Money, charge_violation, total

AMOUNTS_AT_STRIPE: Final = json.loads((Path(__file__).parents[5] / "tests/stripe_amounts.json").read_text())
"""Amounts of Stripe's page, written down apart from our tables; the simulator and the shop are held to the same."""
AMOUNTS = st.integers(min_value=0, max_value=10**12)


@given(st.lists(AMOUNTS), AMOUNTS, st.integers(1, 10**6))
def test_sums_and_products_are_exact(amounts: list[int], amount: int, quantity: int) -> None:
    """Nothing is rounded or lost, however large the amounts are."""
    assert total([Money(each, "usd") for each in amounts], "usd") == Money(sum(amounts), "usd")
    assert Money(amount, "usd").times(quantity) == Money(amount * quantity, "usd")


def test_amounts_in_two_currencies_have_no_sum() -> None:
    """Such a sum is a programming error."""
    with pytest.raises(ValueError, match="two currencies"):
        total([Money(1, "usd"), Money(1, "eur")], "usd")


@pytest.mark.parametrize(("currency", "amount"), AMOUNTS_AT_STRIPE["accepted"])
def test_what_stripe_charges_is_accepted(currency: str, amount: int) -> None:
    """Minimum and maximum of each currency themselves, and whole steps between them."""
    assert charge_violation(Money(amount, currency)) is None


@pytest.mark.parametrize(("currency", "amount"), AMOUNTS_AT_STRIPE["refused"])
def test_what_stripe_does_not_charge_is_refused(currency: str, amount: int) -> None:
    """Below and above the limits, and between the steps of a currency."""
    assert charge_violation(Money(amount, currency)) is not None


@pytest.mark.parametrize(
    ("amount", "violation"),
    [
        (Money(49, "usd"), "must come to at least 50 usd in minor units"),
        (Money(10**8, "usd"), "must come to at most 99999999 usd in minor units"),
        (Money(550, "isk"), "must come to a multiple of 100 minor units in isk"),
    ],
)
def test_a_violation_tells_the_limit(amount: Money, violation: str) -> None:
    """The shop's owner reads what to change of the price."""
    assert charge_violation(amount) == violation
