"""Refunds and disputes in memory: at Stripe, and as the copies that orders keeps of them under a guarded version."""

from typing import Generic

from payments_gateway.domain.errors import VersionConflict
from payments_gateway.domain.refunds import Dispute, MirroredT, Refund
from payments_gateway.domain.stripe_errors import NotFoundAtStripe, UnsupportedStripeObject

from .fakes import Wire


class _AtStripe(Generic[MirroredT]):
    def __init__(self, wire: Wire, name: str) -> None:
        self._wire = wire
        self._name = name
        self.shown: dict[str, MirroredT] = {}
        """What Stripe shows now, by id."""

    async def retrieve(self, object_id: str) -> MirroredT:
        """Return the object as it stands now."""
        # Looked up before the call's end: a test may let something newer happen while an older answer is on its way.
        found = self.shown.get(object_id)
        async with self._wire.call(f"{self._name}.retrieve"):
            if found is None:
                raise NotFoundAtStripe
        return found


class FakeStripeRefunds(_AtStripe[Refund]):
    """Refunds at Stripe."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(wire, "stripe_refunds")

    async def list_refund_ids(self, charge_id: str) -> list[str]:
        """Return the ids of all refunds of a charge."""
        async with self._wire.call("stripe_refunds.list_refund_ids"):
            return [refund.id for refund in self.shown.values() if refund.charge_id == charge_id]


class FakeStripeDisputes(_AtStripe[Dispute]):
    """Disputes at Stripe."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(wire, "stripe_disputes")


class _Copies(Generic[MirroredT]):
    def __init__(self, wire: Wire, name: str) -> None:
        self._wire = wire
        self._name = name
        self._versions: dict[str, int] = {}
        self.kept: dict[str, MirroredT] = {}
        """The copies, by id."""
        self.intents: dict[str, str] = {}
        """Which intent each belongs to, by id."""
        self.refused: set[str] = set()
        """Ids of what cannot be kept."""

    async def version_of(self, object_id: str) -> int:
        """Return the version of a copy."""
        async with self._wire.call(f"{self._name}.version_of"):
            return self._versions.get(object_id, 0)

    async def write(self, shown: MirroredT, *, intent_id: str, expected_version: int) -> None:
        """Write a copy where its version still holds."""
        async with self._wire.call(f"{self._name}.write"):
            if shown.id in self.refused:
                raise UnsupportedStripeObject
            if expected_version != self._versions.get(shown.id, 0):
                raise VersionConflict
            self._versions[shown.id] = expected_version + 1
            self.kept[shown.id] = shown
            self.intents[shown.id] = intent_id


class FakeRefundCopies(_Copies[Refund]):
    """What orders keeps of refunds."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(wire, "refund_copies")


class FakeDisputeCopies(_Copies[Dispute]):
    """What orders keeps of disputes."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(wire, "dispute_copies")
