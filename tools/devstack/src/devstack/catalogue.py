"""The sample shop at Stripe: its creation, and the ids of its prices and shipping rates."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import stripe

from devstack.processes import Child, Program

_MARK: Final = "holdfast"
"""Prefix of lookup keys, and metadata key of shipping rates, as in `stripe_simulator.sample_shop`."""
_PREFIX: Final = f"{_MARK}_"
_CREATE_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Ids of the prices and shipping rates, by the name of the product or rate."""

    prices: dict[str, str]
    shipping_rates: dict[str, str]


def create_sample_shop(secret_key: str, log: Path) -> None:
    """Create the sample shop at Stripe itself. The simulator creates its own at the start."""
    program = Program(
        name="sample-shop",
        command=[sys.executable, "-P", "-m", "stripe_simulator.sample_shop"],
        log=log,
        environment={**os.environ, "STRIPE_SECRET_KEY": secret_key},
    )
    child = Child(program)
    child.start()
    child.wait_for_success(seconds=_CREATE_SECONDS)


def read_catalogue(client: stripe.StripeClient) -> Catalogue:
    """Read the ids of the sample shop."""
    prices = client.v1.prices.list({"active": True, "limit": 100}).auto_paging_iter()
    rates = client.v1.shipping_rates.list({"active": True, "limit": 100}).auto_paging_iter()
    return Catalogue(
        prices={
            price.lookup_key.removeprefix(_PREFIX): price.id
            for price in prices
            if price.lookup_key and price.lookup_key.startswith(_PREFIX)
        },
        shipping_rates={rate.metadata[_MARK]: rate.id for rate in rates if _MARK in rate.metadata},
    )
