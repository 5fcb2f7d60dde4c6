"""Stripe's intents, and the port to them."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol

from payments_gateway.domain.attempts import IntentKind, IntentRef
from payments_gateway.domain.money import Money

ATTEMPT_ID_KEY: Final = "checkoutAttemptId"
"""The one metadata key that Holdfast sends to Stripe (P1)."""


class IntentStatus(StrEnum):
    """An intent's status, in Stripe's values.

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
    """A value that this version does not know."""

    @classmethod
    def _missing_(cls, _value: object) -> "IntentStatus":
        return cls.UNKNOWN


PAYABLE_STATUSES: Final = frozenset(
    {IntentStatus.REQUIRES_PAYMENT_METHOD, IntentStatus.REQUIRES_CONFIRMATION, IntentStatus.REQUIRES_ACTION}
)
"""Statuses in which the buyer can still pay with the client secret."""

PENDING_STATUSES: Final = frozenset({IntentStatus.PROCESSING, IntentStatus.REQUIRES_CAPTURE, IntentStatus.UNKNOWN})
"""Statuses that can become a payment without the buyer: paying another intent could charge the buyer twice."""


@dataclass(frozen=True, slots=True)
class StripeIntent:
    """Snapshot of an intent at Stripe."""

    ref: IntentRef
    status: IntentStatus
    attempt_id: str | None
    """metadata.checkoutAttemptId; only a hint, because it can be edited at Stripe."""
    received: Money | None
    """Amount received so far. None for a SetupIntent."""
    livemode: bool
    client_secret: str | None
    created_at: datetime
    last_payment_failed: bool = False
    """True if the last attempt to pay was declined."""
    payment_method_id: str | None = None
    """The PaymentMethod that it was paid or set up with; None before."""
    customer_id: str | None = None
    """The Customer that pays for the recurring lines; None without recurring lines."""
    customer_deleted: bool = False
    """True if that customer was deleted at Stripe; only where it was asked for."""
    replayed: bool = False
    """True if a create found it made by an earlier call with the same idempotency key. Its state is the present one."""
    refunded: Money | None = None
    """Sum of its refunds that are made or pending. None for a SetupIntent, before a payment, and in an event."""
    charged_at: datetime | None = None
    """Time of its last charge; a bank debit succeeds days later. None where `refunded` is None."""
    awaits_microdeposits: bool = False
    """True if the buyer has to confirm a small deposit, which takes days to arrive, before the bank is debited."""

    def __repr__(self) -> str:
        """Omit the client secret: a repr may end in a log."""
        return f"StripeIntent({self.ref.id}, {self.status.value})"

    @property
    def is_payable(self) -> bool:
        """True if the buyer can still pay it."""
        return self.status in PAYABLE_STATUSES

    @property
    def is_under_way(self) -> bool:
        """True if it charged the buyer, or may without another step of theirs."""
        return not self.is_payable and self.status is not IntentStatus.CANCELED

    @property
    def is_refunded_in_full(self) -> bool:
        """True if everything that it received was given back. A declined charge received nothing."""
        return self.status is IntentStatus.SUCCEEDED and self.refunded is not None and self.refunded == self.received


@dataclass(frozen=True, slots=True)
class IntentParams:
    """Parameters of an intent to create."""

    kind: IntentKind
    amount: Money
    """0 for a SetupIntent."""
    customer_id: str | None
    """Customer that keeps the payment method for later charges; None to keep none."""


class CustomerMissing(Exception):
    """The customer was deleted at Stripe."""


class IntentNotFound(Exception):
    """Stripe has no intent of this id."""


class IntentRefused(Exception):
    """Stripe refuses to create such an intent, for example because of its amount."""

    def __init__(self, code: str) -> None:
        super().__init__(f"refused by Stripe: {code}")
        self.code = code


class IntentReader(Protocol):
    """Read access to Stripe's intents. May raise StripeUnavailable."""

    async def retrieve(self, ref: IntentRef) -> StripeIntent:
        """Return the intent's present state. Raises IntentNotFound."""


class StripeIntentsPort(IntentReader, Protocol):
    """Stripe's intents. Every method may raise StripeUnavailable."""

    async def retrieve(self, ref: IntentRef, *, with_customer: bool = False) -> StripeIntent:
        """Return the intent's present state, with customer_deleted if asked to. Raises IntentNotFound."""

    async def create(self, attempt_id: str, terms: IntentParams, *, generation: int) -> StripeIntent:
        """Create the attempt's intent, once per generation however often it is called.

        Raises IdempotencyKeyExhausted where this generation's key replays a failure, IdempotencyKeyReused where it was
        used with other parameters, CustomerMissing, IntentRefused.
        """

    async def cancel(self, ref: IntentRef) -> StripeIntent:
        """Cancel the intent if Stripe allows it, and return its present state. Raises IntentNotFound."""
