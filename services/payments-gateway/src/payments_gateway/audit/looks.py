"""Further looks at intents with a difference. The lists of both sides are not read at the same moment."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from payments_gateway.audit.differences import DifferenceKind, differences_of
from payments_gateway.audit.pairing import Pair, ref_of
from payments_gateway.audit.retrying import Retrier
from payments_gateway.domain.attempts import IntentRef
from payments_gateway.domain.audit import PaidIntentsPort, RecordedPaymentsPort

_POLL_SECONDS: Final = 2.0
_MAX_LOOKS: Final = 5
"""Looks at refunds that move from one look to the next. What differs then is reported."""


@dataclass(frozen=True, slots=True)
class Looks:
    """Looks again at both sides.

    `grace_seconds` is the time that a difference gets to go away: payments and refunds are made while it looks.
    """

    intents: PaidIntentsPort
    payments: RecordedPaymentsPort
    retrier: Retrier
    grace_seconds: float
    monotonic: Callable[[], float]

    async def standing(self, suspects: Sequence[Pair]) -> list[Pair]:
        """Return those of at most 1000 whose difference stands. Raises StripeUnavailable and ServiceUnavailable."""
        standing: list[Pair] = []
        moving = list(suspects)
        for _ in range(_MAX_LOOKS):
            looks = [(before, await self._look(ref_of(before))) for before in await self._after_grace(moving)]
            different = [(before, now) for before, now in looks if differences_of(*now)]
            standing += [now for before, now in different if not _moves(before, now)]
            moving = [now for before, now in different if _moves(before, now)]
        return standing + moving

    async def _after_grace(self, suspects: Sequence[Pair]) -> list[Pair]:
        """Return those that orders has not made good when the grace ends."""
        ends_at = self.monotonic() + self.grace_seconds
        left = {ref_of(pair).id: pair for pair in suspects}
        while waiting := [ref for ref, (intent, _) in left.items() if intent is not None]:
            now_decided = await self.retrier.run(partial(self.payments.find, waiting))
            for intent_id, payment in now_decided.items():
                if not differences_of(left[intent_id][0], payment):
                    del left[intent_id]
            if self.monotonic() >= ends_at:
                break
            await asyncio.sleep(min(_POLL_SECONDS, max(0.0, ends_at - self.monotonic())))
        return list(left.values())

    async def _look(self, ref: IntentRef) -> Pair:
        intent = await self.retrier.run(partial(self.intents.find, ref))
        decided = await self.retrier.run(partial(self.payments.find, [ref.id]))
        return intent, decided.get(ref.id)


def _moves(before: Pair, now: Pair) -> bool:
    """Return True for refunds that differ otherwise than before: one may have been made between the two reads."""
    differ = any(difference.kind is DifferenceKind.REFUNDS for difference in differences_of(*now))
    return differ and _refunded(before) != _refunded(now)


def _refunded(pair: Pair) -> tuple[Any, ...]:
    return tuple(None if side is None else side.refunded for side in pair)
