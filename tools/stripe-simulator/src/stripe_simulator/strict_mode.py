"""Strict mode: the simulator fails rather than answer or send what deviates from Stripe's published types.

The environment variable PUBLISHED_TYPES_VARIABLE names the file with the types. The tests of this repository set it.
"""

import os
from functools import cache
from pathlib import Path
from typing import Any, Final

from pydantic_core import from_json

from stripe_simulator.published_types import UPCOMING_INVOICE, Deviation, Problem, PublishedTypes

PUBLISHED_TYPES_VARIABLE: Final = "STRIPE_SIMULATOR_PUBLISHED_TYPES"

KNOWN_DEVIATIONS: Final = {
    Deviation("error", "code", Problem.OUTSIDE_ENUM, "simulator_not_modelled"): (
        "Our own code, which no client can mistake for an answer of Stripe's."
    ),
    Deviation("error", "code", Problem.OUTSIDE_ENUM, "subscription_payment_intent_requires_action"): (
        "The types list the codes of a payment's last error; https://docs.stripe.com/error-codes has this one too."
    ),
    Deviation(UPCOMING_INVOICE, "id", Problem.MISSING): (
        "The invoice of an invoice.upcoming has no id: https://docs.stripe.com/api/events/types says so, and so does "
        "the comment on that event in the types."
    ),
}
"""Differences from the published types that stay, each with its reason. The conformance test fails for one too many."""


class DeviatesFromStripe(Exception):
    """Something to be answered or sent is not as Stripe publishes it: a defect of the simulator."""


class StrictMode:
    """Observer of a simulator. An answer that deviates becomes a 500, and an event fails what caused it."""

    def __init__(self, types: PublishedTypes) -> None:
        self._types = types

    def __call__(self, body: Any) -> None:
        """Raise DeviatesFromStripe."""
        deviations = {each for each in self._types.check(body) if each not in KNOWN_DEVIATIONS}
        if deviations:
            raise DeviatesFromStripe("; ".join(sorted(map(str, deviations))))


def strict_mode() -> StrictMode | None:
    """Return the observer that the environment asks for, if any."""
    path = os.environ.get(PUBLISHED_TYPES_VARIABLE)
    return StrictMode(_types_in(Path(path))) if path else None


@cache
def _types_in(path: Path) -> PublishedTypes:
    return PublishedTypes(from_json(path.read_bytes()))
