"""`orders reseal`: quarantined content is encrypted with the first key, so that an older one can be dropped."""

import json
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

from orders.postgres.connection import StatementRefused, open_engine
from orders.postgres.reencryption import Resealed, Resealing
from orders.settings import OrdersSettings
from orders.usecases.retrying import Patience
from orders.usecases.unit_of_work import DatabaseUnavailable
from servicekit.encryption import warn_if_unencrypted

DONE: Final = 0
FAILED: Final = 1
SOME_LEFT: Final = 3


async def run_reseal(settings: OrdersSettings) -> int:
    """Reseal; print how much as JSON, also when it ends early; return the exit code."""
    warn_if_unencrypted(settings.keyring)
    async with _resealing(settings) as resealing:
        try:
            await resealing.run()
        except (DatabaseUnavailable, StatementRefused) as failure:
            words = f"the database is away or refuses ({str(failure) or type(failure).__name__}); run it again"
            sys.stderr.write(f"orders reseal: {words}\n")
            return FAILED
        finally:
            _tell(resealing.done)
    return SOME_LEFT if resealing.done.left else DONE


@asynccontextmanager
async def _resealing(settings: OrdersSettings) -> AsyncIterator[Resealing]:
    patience = Patience(
        budget_seconds=settings.call_timeout_seconds, tries=settings.database_tries, jitter=random.random
    )
    engine = open_engine(settings.database_url.get_secret_value(), replace(settings.limits, pool_size=1))
    try:
        yield Resealing(engine, settings.keyring, patience)
    finally:
        await patience.settle()
        await engine.dispose()


def _tell(done: Resealed) -> None:
    told = {"key_id": done.key_id, "resealed": done.resealed, "unreadable": done.unreadable, "left": done.left}
    sys.stdout.write(json.dumps(told) + "\n")
