"""Our payments among those of other software on the Stripe account, as fulfilment tells them apart."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from payments_gateway.audit.pairing import Pair
from payments_gateway.audit.retrying import Retrier
from payments_gateway.checkout.attempt_ids import AttemptIds
from payments_gateway.domain.attempts import AttemptsPort, is_attempt_id

_AT_ONCE: Final = 8
"""Attempts that are asked for at the same time, and pairs that are held for it."""


@dataclass(frozen=True, slots=True)
class Ownership:
    """Judge of pairs. It asks checkout-session only where neither a decision nor the id proves that one is ours."""

    ids: AttemptIds
    attempts: AttemptsPort
    retrier: Retrier

    async def judged(self, pairs: AsyncIterator[Pair]) -> AsyncIterator[tuple[Pair, bool]]:
        """Yield each pair, with True if it is ours, nearly in their order. Raises ServiceUnavailable."""
        unproven: list[tuple[Pair, str]] = []
        async for pair in pairs:
            named = _named(pair)
            if named is None or self.ids.is_ours(named):
                yield pair, pair[1] is not None or named is not None
                continue
            unproven.append((pair, named))
            if len(unproven) == _AT_ONCE:
                for judged in await self._asked(unproven):
                    yield judged
                unproven = []
        for judged in await self._asked(unproven):
            yield judged

    async def _asked(self, unproven: Sequence[tuple[Pair, str]]) -> list[tuple[Pair, bool]]:
        """Judge by what checkout-session knows: an attempt may be paid long after its secret was rotated away.

        What is found under the named id is ours, a tombstone or an attempt of another intent too: fulfilment decides.
        """
        calls = (self.retrier.run(partial(self.attempts.find, named)) for _, named in unproven)
        found = await asyncio.gather(*calls)
        return [(pair, each is not None) for (pair, _), each in zip(unproven, found, strict=True)]


def _named(pair: Pair) -> str | None:
    """Return the attempt id that an undecided intent names; None for a decided one, which needs no other proof."""
    intent, payment = pair
    if payment is not None or intent is None or intent.attempt_id is None or not is_attempt_id(intent.attempt_id):
        return None
    return intent.attempt_id
