import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments_gateway.domain.money import MAX_CHARGE, MIN_CHARGE, Money, charge_violation, total

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


@pytest.mark.parametrize("currency", [*MIN_CHARGE, "kwd", "isk"])
def test_stripes_minimum_can_be_charged_and_less_cannot(currency: str) -> None:
    """A currency whose minimum is not listed needs an amount above zero; three-decimal amounts end in 0."""
    minimum = MIN_CHARGE.get(currency, 1)

    violation = charge_violation(Money(minimum - 1, currency))

    assert charge_violation(Money(max(minimum, 10), currency)) is None
    assert violation == f"must come to at least {minimum} {currency} in minor units"


def test_stripes_maximum_can_be_charged_and_more_cannot() -> None:
    """Eight digits are the maximum."""
    violation = charge_violation(Money(MAX_CHARGE + 1, "usd"))

    assert charge_violation(Money(MAX_CHARGE, "usd")) is None
    assert violation == "must come to at most 99999999 usd in minor units"


@given(st.integers(1, 99_999_990))
def test_three_decimal_amounts_end_in_zero(amount: int) -> None:
    """Stripe charges dinars in multiples of ten fils only."""
    violation = charge_violation(Money(amount, "kwd"))

    assert (violation is None) == (amount % 10 == 0)
