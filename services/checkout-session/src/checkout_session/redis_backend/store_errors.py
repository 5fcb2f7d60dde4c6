"""Translation of Redis errors to the domain's."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.exceptions import MasterDownError, ReadOnlyError, RedisError

from checkout_session.domain.attempts import StoreUnavailable
from checkout_session.redis_backend.primaries import Primaries

_log = logging.getLogger(__name__)


@asynccontextmanager
async def redis_errors(primaries: Primaries, timeout_seconds: float) -> AsyncIterator[None]:
    """Bound a block in time, and translate errors and the timeout to StoreUnavailable."""
    try:
        async with asyncio.timeout(timeout_seconds):
            try:
                yield
            except (ReadOnlyError, MasterDownError):  # a replica answered
                await primaries.reconnect()
                raise
    except (RedisError, TimeoutError) as failure:
        _log.warning("store unavailable", extra={"cause": type(failure).__name__})
        raise StoreUnavailable from failure
