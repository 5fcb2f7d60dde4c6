"""Stripe's intents as the gateway knows them, and the port to Stripe."""

from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

from payments_gateway.domain.attempts import IntentKind, IntentRef
from payments_gateway.domain.money import Money

ATTEMPT_ID_KEY: Final = "checkoutAttemptId"
"""The one metadata key that Holdfast sends to Stripe (P1)."""


class IntentStatus(Enum):
    """An intent's status, in Stripe's words.

    Source: https://docs.stripe.com/payments/paymentintents/lifecycle
    """

    REQUIRES_PAYMENT_METHOD = "requires_payment_method"
    REQUIRES_CONFIRMATION = "requires_confirmation"
    REQUIRES_ACTION = "requires_action"
    PROCESSING = "processing"
    REQUIRES_CAPTURE = "requires_capture"
    CANCELED = "canceled"
    SUCCEEDED = "succeeded"
    UNKNOWN = "unknown"
    """One that Stripe added after this was written."""

    @classmethod
    def _missing_(cls, _value: object) -> "IntentStatus":
        return cls.UNKNOWN


PAYABLE_STATUSES: Final = frozenset(
    {IntentStatus.REQUIRES_PAYMENT_METHOD, IntentStatus.REQUIRES_CONFIRMATION, IntentStatus.REQUIRES_ACTION}
)
"""Statuses in which the buyer can still pay, so that the client secret is of use."""

PENDING_STATUSES: Final = frozenset({IntentStatus.PROCESSING, IntentStatus.REQUIRES_CAPTURE, IntentStatus.UNKNOWN})
"""Statuses that may end in a payment without the buyer: paying another intent now could pay twice."""


@dataclass(frozen=True)
class StripeIntent:
    """An intent as Stripe showed it at one moment."""

    ref: IntentRef
    status: IntentStatus
    attempt_id: str | None
    """metadata.checkoutAttemptId; None when the intent is not ours."""
    received: Money | None
    """What Stripe received so far. None for a SetupIntent."""
    livemode: bool
    client_secret: str | None
    last_payment_failed: bool = False
    """Whether the last try to pay was refused."""
    payment_method_id: str | None = None
    """The Stripe PaymentMethod that it was paid or set up with; None before."""

    def __repr__(self) -> str:
        """Leave the client secret out: a repr may end in a log."""
        return f"StripeIntent({self.ref.id}, {self.status.value})"

    @property
    def is_payable(self) -> bool:
        """Whether the buyer can still pay it."""
        return self.status in PAYABLE_STATUSES


@dataclass(frozen=True)
class IntentParams:
    """What an intent is to be made for."""

    kind: IntentKind
    amount: Money
    """What it takes; 0 for a SetupIntent, which takes nothing."""
    customer_id: str | None
    """Whose the payment method becomes, to be charged again without the buyer; None to keep none."""


class CustomerMissing(Exception):
    """Stripe does not know the customer any more: somebody deleted it."""


class IntentNotFound(Exception):
    """Stripe knows no intent of this id."""


class IntentRefused(Exception):
    """Stripe refuses to make such an intent: its amount or currency is not acceptable to it."""

    def __init__(self, code: str) -> None:
        super().__init__(f"refused by Stripe: {code}")
        self.code = code


class IntentReader(Protocol):
    """Stripe's intents, to be looked at. May raise StripeUnavailable."""

    async def retrieve(self, ref: IntentRef) -> StripeIntent:
        """Return the intent as it stands now. Raises IntentNotFound."""


class StripeIntentsPort(IntentReader, Protocol):
    """Stripe's intents. Every method may raise StripeUnavailable."""

    async def create(self, attempt_id: str, terms: IntentParams, *, generation: int) -> StripeIntent:
        """Make an intent for an attempt, once per generation, however often it is called.

        Raises IdempotencyKeyExhausted where this generation's key replays a failure, IdempotencyKeyReused where it was
        used with other parameters, CustomerMissing, IntentRefused.
        """

    async def cancel(self, ref: IntentRef) -> StripeIntent:
        """Cancel the intent if Stripe still lets us; return it as it then stands. Raises IntentNotFound."""
