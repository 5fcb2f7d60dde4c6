"""Mirrors refunds and disputes from Stripe to orders (ADR 17). Nothing here moves money.

Stripe delivers events late, twice and in any order, so an event only triggers a fetch. The fetched state is written if
nobody has written the copy since before the fetch, so that an older state never replaces a newer one.
"""

import logging
from collections.abc import Callable
from typing import Final, Generic

from prometheus_client import Counter

from payments_gateway.checkout.attempt_ids import AttemptIds
from payments_gateway.domain.attempts import AttemptsPort, IntentKind, IntentRef, is_attempt_id
from payments_gateway.domain.errors import ConflictRetriesExhausted, VersionConflict
from payments_gateway.domain.refunds import (
    MirroredT,
    MirrorRepository,
    PaymentNotFound,
    PaymentRef,
    Refund,
    RefundLister,
    RefundOwner,
    StripeObjectsPort,
)
from payments_gateway.domain.stripe_errors import NotFoundAtStripe, UnsupportedStripeObject
from payments_gateway.domain.stripe_events import UnsupportedObjectsPort
from payments_gateway.domain.webhook_events import ChargeRefunded, UnreadableIntentSucceeded, WebhookEvent
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
        attempts: AttemptsPort,
        ids: AttemptIds,
        *,
        unsupported: UnsupportedObjectsPort,
        changed: Callable[[str], WebhookEvent],
        livemode: bool,
    ) -> None:
        """Skip objects of the other mode than livemode. kind is a label of logs and metrics.

        `changed` returns the event for an object's id, by which one that is not understood is tried again.
        """
        self._kind = kind
        self._unsupported = unsupported
        self._changed = changed
        self._stripe: StripeObjectsPort[MirroredT] = stripe
        self._repository: MirrorRepository[MirroredT] = repository
        self._attempts = attempts
        self._ids = ids
        self._livemode = livemode
        self._locks = KeyedLock()

    async def sync(self, object_id: str, *, is_ours: bool = False) -> None:
        """Write the object's present state at Stripe; skip one that is not ours or not found there.

        `is_ours` says that its payment is known to be ours, whatever the metadata says.

        Raises ConflictRetriesExhausted, StripeUnavailable, ServiceUnavailable; the call may be repeated.
        """
        async with self._locks.hold(object_id):
            try:
                outcome = await self._sync_with_retries(object_id, is_ours=is_ours)
            except (NotFoundAtStripe, UnsupportedStripeObject) as error:
                await acknowledge(self._kind, object_id, error, self._unsupported, self._changed(object_id))
            else:
                SYNCS.labels(self._kind, outcome).inc()

    async def _sync_with_retries(self, object_id: str, *, is_ours: bool) -> str:
        for _ in range(_MAX_CONFLICTS):
            try:
                return await self._sync_once(object_id, is_ours=is_ours)
            except VersionConflict:
                continue
        raise ConflictRetriesExhausted

    async def _sync_once(self, object_id: str, *, is_ours: bool) -> str:
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
                only_if_decided=not (is_ours or await self._is_ours(payment)),
            )
        except PaymentNotFound:
            return "not_ours"
        _log.info("mirrored from Stripe", extra={"kind": self._kind, "stripe_id": object_id})
        return "written"

    async def _is_ours(self, payment: PaymentRef) -> bool:
        # Metadata can be edited at Stripe, and a refund comes long after the secret of its attempt was rotated away:
        # any other intent is ours if orders has decided it. As in fulfilment, an attempt that is found is ours.
        named = payment.attempt_id
        if named is None or not is_attempt_id(named):
            return False
        bind_attempt(named)
        return self._ids.is_ours(named) or await self._attempts.find(named) is not None


async def acknowledge(
    kind: str,
    stripe_id: str,
    error: NotFoundAtStripe | UnsupportedStripeObject,
    unsupported: UnsupportedObjectsPort,
    event: WebhookEvent,
) -> None:
    """Log and count an object that is not mirrored; one that is not understood waits for a newer version.

    A repeat would fail in the same way, and Stripe disables an endpoint that fails for days. Raises ServiceUnavailable.
    """
    fields = {"kind": kind, "stripe_id": stripe_id}
    if isinstance(error, NotFoundAtStripe):
        _log.warning("not found at Stripe, event acknowledged", extra=fields)
        SYNCS.labels(kind, "not_found").inc()
    else:
        await unsupported.put(event, error)
        _log.error("unsupported Stripe object, event acknowledged", extra=fields, exc_info=error)
        SYNCS.labels(kind, "unsupported").inc()


class RefundLists:
    """Mirrors all refunds of a charge or a payment, one after the other, where nobody names the refunds."""

    def __init__(self, mirror: StripeMirror[Refund], stripe: RefundLister, unsupported: UnsupportedObjectsPort) -> None:
        self._mirror = mirror
        self._stripe = stripe
        self._unsupported = unsupported

    async def sync_charge(self, charge_id: str) -> None:
        """Synchronise every refund of a charge. Raises the same as StripeMirror.sync."""
        await self._sync(RefundOwner.CHARGE, charge_id, ChargeRefunded(charge_id), is_ours=False)

    async def sync_payment(self, intent_id: str) -> None:
        """Synchronise every refund of a payment that is known to be ours. Raises the same as StripeMirror.sync."""
        paid = UnreadableIntentSucceeded(IntentRef(intent_id, IntentKind.PAYMENT), livemode=None)
        await self._sync(RefundOwner.PAYMENT_INTENT, intent_id, paid, is_ours=True)

    async def _sync(self, owner: RefundOwner, owner_id: str, event: WebhookEvent, *, is_ours: bool) -> None:
        try:
            refund_ids = await self._stripe.list_refund_ids(owner, owner_id)
        except (NotFoundAtStripe, UnsupportedStripeObject) as error:
            await acknowledge(owner.value, owner_id, error, self._unsupported, event)
            return
        for refund_id in refund_ids:
            await self._mirror.sync(refund_id, is_ours=is_ours)
