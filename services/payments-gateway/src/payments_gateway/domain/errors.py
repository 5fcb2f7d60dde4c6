"""Why a checkout cannot go the way the client asked: each is told to the buyer in so many words."""

from payments_gateway.domain.purchases import PaymentDecision, Purchase


class AttemptNotFound(Exception):
    """There is no such attempt, or it is not the caller's: the two are told apart to nobody."""


class AlreadyPaid(Exception):
    """The attempt has been paid."""

    def __init__(self, decision: PaymentDecision | None) -> None:
        """Carry what the payment became, where it is known. Once it is erased it is told to nobody (ADR 14)."""
        super().__init__("already paid")
        self.purchase = decision if isinstance(decision, Purchase) and not decision.erased else None


class PaymentProcessing(Exception):
    """A payment of the attempt is under way at the bank; paying again would pay twice."""


class PaymentNotSucceeded(Exception):
    """The intent has not been paid."""


class IntentMismatch(Exception):
    """The intent and the attempt that the client named do not belong together."""


class VersionConflict(Exception):
    """The record was written since its version was read: what was read at Stripe in between may be older."""


class ConflictRetriesExhausted(Exception):
    """Other writers were faster every time, up to the limit of retries. A later call may succeed."""

    def __init__(self) -> None:
        super().__init__("other writers were faster in every retry")
