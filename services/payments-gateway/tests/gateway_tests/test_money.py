import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments_gateway.domain.money import MAX_CHARGE, MIN_CHARGE, Money, charge_violation, total

AMOUNTS = st.integers(min_value=0, max_value=10**12)


@given(st.lists(AMOUNTS))
def test_a_total_is_the_sum_of_its_amounts(amounts: list[int]) -> None:
    """Nothing is rounded or lost, however many and however large the amounts are."""
    summed = total([Money(amount, "usd") for amount in amounts], "usd")

    assert summed == Money(sum(amounts), "usd")


@given(AMOUNTS, st.integers(min_value=1, max_value=10**6))
def test_a_quantity_costs_as_much_as_its_pieces_one_by_one(amount: int, quantity: int) -> None:
    """Multiplying is exact."""
    cost = Money(amount, "usd").times(quantity)

    assert cost == Money(amount * quantity, "usd")


def test_amounts_of_two_currencies_have_no_total() -> None:
    """A sum over two currencies is a mistake, never a number."""
    with pytest.raises(ValueError, match="two currencies"):
        total([Money(1, "usd"), Money(1, "eur")], "usd")


@pytest.mark.parametrize("currency", [*MIN_CHARGE, "kwd", "isk"])
def test_the_smallest_charge_is_chargeable(currency: str) -> None:
    """The limit itself is within the limit; three-decimal currencies need it to end in 0."""
    smallest = MIN_CHARGE.get(currency, 10)

    assert charge_violation(Money(smallest, currency)) is None


@pytest.mark.parametrize("currency", MIN_CHARGE)
def test_less_than_the_smallest_charge_is_not_chargeable(currency: str) -> None:
    """One minor unit below Stripe's minimum is refused, and the phrase says what the minimum is."""
    smallest = MIN_CHARGE[currency]

    objection = charge_violation(Money(smallest - 1, currency))

    assert objection == f"must come to at least {smallest} {currency} in minor units"


@pytest.mark.parametrize("currency", ["usd", "jpy", "kwd", "isk"])
def test_nothing_is_not_chargeable(currency: str) -> None:
    """Zero is refused also in currencies whose minimum is not known here."""
    assert charge_violation(Money(0, currency)) is not None


def test_eight_digits_are_the_most() -> None:
    """Stripe's largest charge passes; one more is refused."""
    most = charge_violation(Money(MAX_CHARGE, "usd"))
    more = charge_violation(Money(MAX_CHARGE + 1, "usd"))

    assert most is None
    assert more == "must come to at most 99999999 usd in minor units"


@given(st.integers(min_value=1, max_value=99_999_990))
def test_three_decimal_amounts_end_in_zero(amount: int) -> None:
    """Stripe takes dinars only in multiples of ten fils."""
    objection = charge_violation(Money(amount, "kwd"))

    assert (objection is None) == (amount % 10 == 0)
