"""Repetition of a call while a dependency is unavailable."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from payments_gateway.domain.stripe_errors import StripeKeyRefused, StripePermissionMissing, StripeUnavailable
from servicekit.unavailable import ServiceUnavailable

T = TypeVar("T")

PAUSES_SECONDS: Final = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)


@dataclass(frozen=True, slots=True)
class Retrier:
    """Pauses before each repetition. After the last one the failure is raised."""

    pauses_seconds: Sequence[float] = PAUSES_SECONDS

    async def run(self, call: Callable[[], Awaitable[T]]) -> T:
        """Return the call's result. Only a person can help a refused key or a missing permission: those are raised."""
        for pause in self.pauses_seconds:
            try:
                return await call()
            except (StripeKeyRefused, StripePermissionMissing):
                raise
            except (StripeUnavailable, ServiceUnavailable):
                await asyncio.sleep(pause)
        return await call()
