"""Keeps orders' copy of a refund or a dispute as Stripe's own object stands.

Stripe promises no order of its events, and delivers them again: an event is only a hint that something changed. What is
written is fetched, and only where nothing was written since before the fetch; so the copy never goes back in time, and
whoever wrote last had looked last. Nothing here ever moves money.
"""

import logging
from typing import Final, Generic

from prometheus_client import Counter

from payments_gateway.domain.attempts import is_attempt_id
from payments_gateway.domain.errors import ConflictRetriesExhausted, VersionConflict
from payments_gateway.domain.refunds import ChargeRefundsPort, MirrorRepository, PaymentRef, Refund, Seen, StripeObjects
from payments_gateway.domain.stripe_errors import NotFoundAtStripe, UnsupportedStripeObject
from servicekit.json_logging import bind_attempt
from servicekit.keyed_lock import KeyedLock

_log = logging.getLogger(__name__)

COPIED: Final = Counter(
    "holdfast_adjustments", "News of refunds and disputes, and what was done about them.", ["kind", "outcome"]
)

_TRIES: Final = 10
"""Writers in other gateways that were faster, before Stripe is asked to send the event again."""


class StripeMirror(Generic[Seen]):
    """Copies one kind of Stripe's objects."""

    def __init__(
        self, kind: str, stripe: StripeObjects[Seen], copies: MirrorRepository[Seen], *, livemode: bool
    ) -> None:
        """Copy what was paid in the mode that our Stripe key works in. kind is a word for logs and metrics."""
        self._kind = kind
        self._stripe: StripeObjects[Seen] = stripe
        self._copies: MirrorRepository[Seen] = copies
        self._livemode = livemode
        self._locks = KeyedLock()

    async def sync(self, object_id: str) -> None:
        """Make the copy agree with Stripe; do nothing about what is not ours or is gone.

        Raises ConflictRetriesExhausted, StripeUnavailable, ServiceUnavailable: the same call may be made again.
        """
        async with self._locks.hold(object_id):
            try:
                outcome = await self._copied(object_id)
            except (NotFoundAtStripe, UnsupportedStripeObject) as why:
                acknowledge(self._kind, object_id, why)
            else:
                COPIED.labels(self._kind, outcome).inc()

    async def _copied(self, object_id: str) -> str:
        for _ in range(_TRIES):
            try:
                return await self._copy(object_id)
            except VersionConflict:
                continue
        raise ConflictRetriesExhausted

    async def _copy(self, object_id: str) -> str:
        # The version comes first: what is fetched afterwards is no older than the row that has it. It is written even
        # where it equals the row: a slower writer that fetched something older in between must find the version moved.
        version = await self._copies.version_of(object_id)
        shown = await self._stripe.retrieve(object_id)
        if shown.payment_ref is None or not self._is_ours(shown.payment_ref):
            return "not_ours"
        await self._copies.write(shown, intent_id=shown.payment_ref.intent_id, expected_version=version)
        _log.info("copied from Stripe", extra={"kind": self._kind, "stripe_id": object_id})
        return "copied"

    def _is_ours(self, payment_ref: PaymentRef) -> bool:
        if payment_ref.attempt_id is None or not is_attempt_id(payment_ref.attempt_id):
            return False
        bind_attempt(payment_ref.attempt_id)
        return payment_ref.livemode == self._livemode


def acknowledge(kind: str, stripe_id: str, why: NotFoundAtStripe | UnsupportedStripeObject) -> None:
    """Log and count what is left uncopied. kind is a word for logs and metrics.

    Asked again it would be the same, and Stripe switches off an endpoint that fails for days.
    """
    named = {"kind": kind, "stripe_id": stripe_id}
    if isinstance(why, NotFoundAtStripe):
        _log.warning("Stripe knows nothing of it any more", extra=named)
        COPIED.labels(kind, "gone").inc()
    else:
        _log.error("Stripe shows something that cannot be kept", extra=named, exc_info=why)
        COPIED.labels(kind, "unusable").inc()


class RefundMirror:
    """Keeps orders' copies of refunds."""

    def __init__(self, mirror: StripeMirror[Refund], of_charges: ChargeRefundsPort) -> None:
        """Copy refunds one by one, and find those of a charge."""
        self._mirror = mirror
        self._of_charges = of_charges

    async def sync(self, refund_id: str) -> None:
        """Make the copy of a refund agree with Stripe. Raises what StripeMirror.sync raises."""
        await self._mirror.sync(refund_id)

    async def sync_charge(self, charge_id: str) -> None:
        """Do the same for every refund of a charge: its event says that there is one more, but not which."""
        try:
            refund_ids = await self._of_charges.list_refund_ids(charge_id)
        except (NotFoundAtStripe, UnsupportedStripeObject) as why:
            acknowledge("charge", charge_id, why)
            return
        for refund_id in refund_ids:
            await self._mirror.sync(refund_id)
