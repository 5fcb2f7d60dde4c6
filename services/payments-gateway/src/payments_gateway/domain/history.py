"""Everything that the stores and Stripe know about one checkout, and the ports to read it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from payments_gateway.domain.attempts import FoundAttempt, IntentRef
from payments_gateway.domain.audit import RecordedPayment
from payments_gateway.domain.intents import StripeIntent
from payments_gateway.domain.money import Money
from payments_gateway.domain.settlements import ShownPayment
from payments_gateway.domain.subscriptions import SubscriptionStatus


@dataclass(frozen=True, slots=True)
class MoneyBack:
    """A refund or a dispute at Stripe."""

    id: str
    amount: Money
    status: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class IntentHistory:
    """An intent at Stripe, with what followed."""

    intent: StripeIntent
    amount: Money | None
    """Amount that is to be paid; None for a SetupIntent."""
    charged_at: datetime | None
    """Time of its last charge; None before one."""
    canceled_at: datetime | None
    refunds: tuple[MoneyBack, ...] = ()
    disputes: tuple[MoneyBack, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckoutHistory:
    """A checkout as its stores and Stripe show it. A dependency that did not answer is named."""

    attempt_id: str | None
    is_ours: bool
    """True if the attempt's id proves that one of our secrets made it."""
    attempt: FoundAttempt | None
    intents: tuple[IntentHistory, ...]
    payments: tuple[ShownPayment, ...]
    """Decisions on its intents."""
    subscriptions_at_stripe: Mapping[str, SubscriptionStatus]
    """Present status by Stripe's id of the subscription."""
    unavailable: tuple[str, ...]
    """Dependencies that did not answer."""


class IntentHistoriesPort(Protocol):
    """Intents at Stripe with their refunds and disputes. May raise StripeUnavailable."""

    async def read(self, ref: IntentRef) -> IntentHistory | None:
        """Return an intent's history; None if Stripe does not know it."""


class DecisionsByAttemptPort(Protocol):
    """Decisions of an attempt, in orders. May raise ServiceUnavailable."""

    async def find_by_attempt(self, attempt_id: str) -> Mapping[str, RecordedPayment]:
        """Return the decisions of an attempt, by the intent's id."""
