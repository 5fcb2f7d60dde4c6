"""Amounts by Stripe's page on currencies. The gateway and the shop are held to the same amounts."""

import json
from pathlib import Path
from typing import Final

import pytest

from stripe_simulator.api_errors import ApiError
from stripe_simulator.money import check_charge_amount, check_currency, format_amount

AMOUNTS: Final = json.loads((Path(__file__).parents[3] / "tests/stripe_amounts.json").read_text())


@pytest.mark.parametrize(("currency", "amount"), AMOUNTS["accepted"])
def test_what_stripe_charges_is_accepted(currency: str, amount: int) -> None:
    """The limits of each currency themselves, and whole steps between them."""
    check_charge_amount(amount, check_currency(currency.upper()))


@pytest.mark.parametrize(("currency", "amount"), AMOUNTS["refused"])
def test_what_stripe_does_not_charge_is_refused(currency: str, amount: int) -> None:
    """Below and above the limits, and between the steps of a currency."""
    with pytest.raises(ApiError):
        check_charge_amount(amount, currency)


@pytest.mark.parametrize(("currency", "amount", "text"), AMOUNTS["major_units"])
def test_messages_show_major_units(currency: str, amount: int, text: str) -> None:
    """By Stripe's decimals, which are not ISO 4217's for all: ISK and UGX are counted in hundredths."""
    shown = format_amount(amount, currency).replace(",", "").replace("$", "").removesuffix(f" {currency}")

    assert shown.removesuffix(".00") == text
