"""Options of one run, and its buyers, chosen by its seed."""

import random
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

ONCE: Final = ("mug", "notebook", "tote", "poster")
"""Products of the sample shop that are sold once and shipped."""
RECURRING: Final = {"coffee": "month", "filters": "month", "almanac": "year", "gazette": "week"}
"""Products of the sample shop with their billing intervals."""


class Kind(StrEnum):
    """The content of a cart."""

    ONE_TIME = "one-time"
    SUBSCRIPTION = "subscription"
    MIXED = "mixed"


class Fate(StrEnum):
    """The end that a buyer has in mind."""

    PAID = "paid"
    PAID_AFTER_DECLINE = "paid after a decline"
    CHALLENGED = "paid after 3-D Secure"
    DEBITED = "paid by bank debit"
    DEBIT_FAILED = "bank debit failed"
    DECLINED = "declined"
    ABANDONED = "abandoned"
    SUPERSEDED = "superseded, then paid"
    SUPERSEDED_AND_LEFT = "superseded, then abandoned"
    TWO_TABS = "superseded and paid in two tabs"
    REPEATED = "begun twice at once, then paid"
    REFUNDED = "paid and refunded"
    REFUNDED_IN_PART = "paid and refunded in part"
    AMOUNT_CHANGED = "paid after somebody changed the intent's amount at Stripe"


@dataclass(frozen=True)
class Plan:
    """Options of a run. The same plan strikes in the same order; what it strikes may differ from run to run."""

    seed: int
    checkouts: int = 500
    """At least this many; more until each fault has struck."""
    at_once: int = 24
    reconcilers: int = 2
    webhooks: bool = True
    """Stripe delivers its events."""
    browsers: bool = True
    """Browsers return after the payment and look at their checkouts."""
    wipe: bool = False
    """Redis loses everything in the middle of the run."""
    quick: bool = False
    """A few of the faults, with short pauses."""
    skew_seconds: float = 20.0
    """The second gateway's clock is ahead or behind by this."""
    pay_by_seconds: float = 60.0
    grace_seconds: float = 45.0
    """Time to resolve everything, after the last checkout's pay-by on the latest clock."""
    only: tuple[str, ...] = ()
    """Names of the faults to strike with; empty for all."""
    fates: tuple[Fate, ...] = ()
    """Fates of the buyers; empty for all."""

    @property
    def judges_orphans(self) -> bool:
        """True if somebody looks at checkouts that no buyer knows."""
        return self.reconcilers > 0

    @property
    def judges_unpaid(self) -> bool:
        """True if somebody looks at checkouts that are not paid."""
        return self.reconcilers > 0 or self.browsers

    @property
    def skew(self) -> float:
        """Seconds by which the second gateway's clock is ahead; the seed decides the direction."""
        return self.skew_seconds if self.seed % 2 else -self.skew_seconds

    @property
    def repeat_command(self) -> str:
        """The command that repeats the schedule."""
        defaults = Plan(self.seed)
        options = [
            *([f"--reconcilers {self.reconcilers}"] if self.reconcilers != defaults.reconcilers else []),
            *(["--no-webhooks"] if not self.webhooks else []),
            *(["--no-browsers"] if not self.browsers else []),
            *(["--wipe"] if self.wipe else []),
            *(["--quick"] if self.quick else []),
            *([f"--at-once {self.at_once}"] if self.at_once != defaults.at_once else []),
            *([f"--skew {self.skew_seconds:g}"] if self.skew_seconds != defaults.skew_seconds else []),
            *([f"--pay-by {self.pay_by_seconds:g}"] if self.pay_by_seconds != defaults.pay_by_seconds else []),
            *(f"--only '{name}'" for name in self.only),
        ]
        given = f' FAULTS_ARGS="{" ".join(options)}"' if options else ""
        return f"make test-faults SEED={self.seed} CHECKOUTS={self.checkouts}{given}"


_FATES: Final = {
    Fate.PAID: 24,
    Fate.PAID_AFTER_DECLINE: 6,
    Fate.CHALLENGED: 8,
    Fate.DEBITED: 6,
    Fate.DEBIT_FAILED: 4,
    Fate.DECLINED: 5,
    Fate.ABANDONED: 10,
    Fate.SUPERSEDED: 12,
    Fate.SUPERSEDED_AND_LEFT: 4,
    Fate.TWO_TABS: 8,
    Fate.REPEATED: 6,
    Fate.REFUNDED: 4,
    Fate.REFUNDED_IN_PART: 3,
    Fate.AMOUNT_CHANGED: 2,
}
_CHARGED: Final = frozenset(
    {Fate.DEBITED, Fate.DEBIT_FAILED, Fate.REFUNDED, Fate.REFUNDED_IN_PART, Fate.AMOUNT_CHANGED}
)
"""Fates that need a charge now."""


@dataclass(frozen=True)
class BuyerPlan:
    """One buyer's checkout."""

    number: int
    kind: Kind
    fate: Fate
    carts: tuple[dict[str, int], ...]
    """Quantities by product, of the first cart and of those that supersede it."""
    user_id: str | None
    """None for a guest."""
    returns: bool
    """The browser comes back after the payment."""
    rng: random.Random = field(repr=False, compare=False)
    """Keys, pauses and gateways."""


def buyer_plan(plan: Plan, number: int) -> BuyerPlan:
    """Return the plan of a run's buyer by number: the same for the same seed."""
    rng = random.Random(f"{plan.seed}:buyer:{number}")  # noqa: S311 - repeatable choices
    fate = rng.choice(plan.fates) if plan.fates else rng.choices(list(_FATES), weights=list(_FATES.values()))[0]
    kinds = [Kind.ONE_TIME, Kind.MIXED] if fate in _CHARGED else list(Kind)
    kind = Kind.ONE_TIME if fate in {Fate.DEBITED, Fate.DEBIT_FAILED} else rng.choice(kinds)
    superseding = fate in {Fate.SUPERSEDED, Fate.SUPERSEDED_AND_LEFT, Fate.TWO_TABS}
    return BuyerPlan(
        number=number,
        kind=kind,
        fate=fate,
        carts=tuple(_cart(rng, kind) for _ in range(rng.randint(2, 3) if superseding else 1)),
        user_id=rng.choice([None, f"user-{plan.seed}-{number}"]),
        returns=rng.random() < 0.5,
        rng=rng,
    )


def _cart(rng: random.Random, kind: Kind) -> dict[str, int]:
    once = rng.sample(ONCE, rng.randint(1, 2)) if kind is not Kind.SUBSCRIPTION else []
    recurring = rng.sample(list(RECURRING), rng.randint(1, 2)) if kind is not Kind.ONE_TIME else []
    return {product: rng.randint(1, 3) for product in (*once, *recurring)}
