"""Mirrors refunds and disputes from Stripe to orders (ADR 17). Nothing here moves money.

Stripe delivers events late, twice and in any order, so an event only triggers a fetch. The fetched state is written if
nobody has written the copy since before the fetch, so that an older state never replaces a newer one.
"""

import logging
from typing import Final, Generic

from prometheus_client import Counter

from payments_gateway.checkout.attempt_ids import AttemptIds
from payments_gateway.domain.errors import ConflictRetriesExhausted, VersionConflict
from payments_gateway.domain.refunds import (
    ChargeRefundsPort,
    MirroredT,
    MirrorRepository,
    PaymentNotFound,
    PaymentRef,
    Refund,
    StripeObjectsPort,
)
from payments_gateway.domain.stripe_errors import NotFoundAtStripe, UnsupportedStripeObject
from servicekit.json_logging import bind_attempt
from servicekit.keyed_lock import KeyedLock

_log = logging.getLogger(__name__)

SYNCS: Final = Counter(
    "holdfast_mirror_syncs", "Refunds, disputes and refunded charges synchronised, by outcome.", ["kind", "outcome"]
)

_MAX_CONFLICTS: Final = 10
"""Conflicts with other gateways before the event is left to Stripe's next delivery."""


class StripeMirror(Generic[MirroredT]):
    """Mirror of one kind of Stripe object."""

    def __init__(
        self,
        kind: str,
        stripe: StripeObjectsPort[MirroredT],
        repository: MirrorRepository[MirroredT],
        ids: AttemptIds,
        *,
        livemode: bool,
    ) -> None:
        """Skip objects of the other mode than livemode. kind is a label of logs and metrics."""
        self._kind = kind
        self._stripe: StripeObjectsPort[MirroredT] = stripe
        self._repository: MirrorRepository[MirroredT] = repository
        self._ids = ids
        self._livemode = livemode
        self._locks = KeyedLock()

    async def sync(self, object_id: str) -> None:
        """Write the object's present state at Stripe; skip one that is not ours or not found there.

        Raises ConflictRetriesExhausted, StripeUnavailable, ServiceUnavailable; the call may be repeated.
        """
        async with self._locks.hold(object_id):
            try:
                outcome = await self._sync_with_retries(object_id)
            except (NotFoundAtStripe, UnsupportedStripeObject) as error:
                acknowledge(self._kind, object_id, error)
            else:
                SYNCS.labels(self._kind, outcome).inc()

    async def _sync_with_retries(self, object_id: str) -> str:
        for _ in range(_MAX_CONFLICTS):
            try:
                return await self._sync_once(object_id)
            except VersionConflict:
                continue
        raise ConflictRetriesExhausted

    async def _sync_once(self, object_id: str) -> str:
        # The version is read first, so that the state fetched after it is no older than the copy. An equal state is
        # written too: a slower writer that fetched an older one in between must meet a conflict.
        version = await self._repository.version_of(object_id)
        snapshot = await self._stripe.retrieve(object_id)
        payment = snapshot.payment
        if payment is None or payment.livemode != self._livemode:
            return "not_ours"
        try:
            await self._repository.write(
                snapshot,
                intent_id=payment.intent_id,
                expected_version=version,
                only_if_decided=not self._proves_to_be_ours(payment),
            )
        except PaymentNotFound:
            return "not_ours"
        _log.info("mirrored from Stripe", extra={"kind": self._kind, "stripe_id": object_id})
        return "written"

    def _proves_to_be_ours(self, payment: PaymentRef) -> bool:
        # Metadata can be edited at Stripe, and a refund comes long after the secret of its attempt was rotated away:
        # an intent that proves nothing is ours if orders has decided it.
        if payment.attempt_id is None or not self._ids.is_ours(payment.attempt_id):
            return False
        bind_attempt(payment.attempt_id)
        return True


def acknowledge(kind: str, stripe_id: str, error: NotFoundAtStripe | UnsupportedStripeObject) -> None:
    """Log and count an object that is not mirrored.

    A repeat would fail in the same way, and Stripe disables an endpoint that fails for days.
    """
    fields = {"kind": kind, "stripe_id": stripe_id}
    if isinstance(error, NotFoundAtStripe):
        _log.warning("not found at Stripe, event acknowledged", extra=fields)
        SYNCS.labels(kind, "not_found").inc()
    else:
        _log.error("unsupported Stripe object, event acknowledged", extra=fields, exc_info=error)
        SYNCS.labels(kind, "unsupported").inc()


class ChargeRefunds:
    """Mirrors all refunds of a charge, for events that do not name the refund."""

    def __init__(self, mirror: StripeMirror[Refund], stripe: ChargeRefundsPort) -> None:
        self._mirror = mirror
        self._stripe = stripe

    async def sync(self, charge_id: str) -> None:
        """Synchronise every refund of a charge, one after the other. Raises the same as StripeMirror.sync."""
        try:
            refund_ids = await self._stripe.list_refund_ids(charge_id)
        except (NotFoundAtStripe, UnsupportedStripeObject) as error:
            acknowledge("charge", charge_id, error)
            return
        for refund_id in refund_ids:
            await self._mirror.sync(refund_id)
