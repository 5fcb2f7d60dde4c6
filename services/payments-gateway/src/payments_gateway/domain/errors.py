"""Reasons for which a request cannot be carried out; the HTTP edge maps each to a problem."""

from payments_gateway.domain.purchases import PaymentDecision, Purchase


class AttemptNotFound(Exception):
    """The attempt is missing or not the caller's. Both look the same to the caller, on purpose."""


class ForgedAttemptId(AttemptNotFound):
    """The attempt's id was made with none of our secrets: no service needs to be asked about it."""


class AlreadyPaid(Exception):
    """The attempt is paid."""

    def __init__(self, decision: PaymentDecision | None) -> None:
        """Carry the purchase where there is one. An erased purchase is shown to nobody (ADR 14)."""
        super().__init__("already paid")
        self.purchase = decision if isinstance(decision, Purchase) and not decision.erased else None


class PaymentProcessing(Exception):
    """A payment of the attempt is processing at the bank; a second payment would charge the buyer twice."""

    def __init__(self, attempt_id: str | None, owner: str | None) -> None:
        """Name the attempt and its owner, None for a guest. An attempt that is not stored has no name."""
        super().__init__("payment is processing")
        self.attempt_id = attempt_id
        self.owner = owner


class PaymentNotSucceeded(Exception):
    """The intent is not paid."""


class IntentMismatch(Exception):
    """The intent does not belong to the attempt that the client named."""


class VersionConflict(Exception):
    """The record was written since its version was read: what was read at Stripe in between may be older."""


class ConflictRetriesExhausted(Exception):
    """Other writers were faster every time, up to the limit of retries. A later call may succeed."""

    def __init__(self) -> None:
        super().__init__("other writers were faster in every retry")
