"""Requests of the driver, and the answers: with the state of the stores, all that the checker knows."""

from collections import Counter
from dataclasses import dataclass, field

from .plan import BuyerPlan


@dataclass(frozen=True)
class Granted:
    """A checkout whose client secret a buyer was given. Times are this machine's, in seconds since 1970."""

    attempt_id: str
    intent_id: str
    amount: int
    currency: str
    quantities: dict[str, int]
    """By price id."""
    chain: int
    """Checkouts of one buyer that supersede each other have the same number."""
    gateway: int
    asked_at: float
    granted_at: float


@dataclass
class BuyerHistory:
    """One buyer's checkouts, in the order in which they were granted; a repeated grant is listed again."""

    plan: BuyerPlan
    granted: list[Granted] = field(default_factory=list)
    refunds: dict[str, int] = field(default_factory=dict)
    """Minor units that the merchant gave back, by intent."""


@dataclass(frozen=True)
class Wipe:
    """The time in which Redis lost everything."""

    began_at: float
    ended_at: float


@dataclass
class History:
    """Everything that the driver did."""

    buyers: list[BuyerHistory] = field(default_factory=list)
    wipes: list[Wipe] = field(default_factory=list)
    foreign_paid: set[str] = field(default_factory=set)
    """Intents of another application on the same Stripe account, which Holdfast must not touch."""
    foreign_payable: set[str] = field(default_factory=set)
    answers: Counter[str] = field(default_factory=Counter)
    """Numbers of the gateways' answers, by request, status and problem."""
    wrong_answers: list[str] = field(default_factory=list)
    """Answers that no fault excuses."""

    @property
    def granted(self) -> list[Granted]:
        """All granted checkouts."""
        return [each for buyer in self.buyers for each in buyer.granted]
