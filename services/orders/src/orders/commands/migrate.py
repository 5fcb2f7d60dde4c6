"""`orders migrate`: migrates the database to the schema of this version, beside services that run."""

import sys
from typing import Final

from orders.postgres.migrate import CodeTooOld, LocksNotAcquired, upgrade
from orders.postgres.session_settings import PoolerInTheWay
from orders.settings import OrdersSettings

DONE: Final = 0
POOLED: Final = 2
CODE_TOO_OLD: Final = 3
LOCKED_OUT: Final = 4


async def run_migrate(settings: OrdersSettings) -> int:
    """Migrate; return the exit code."""
    try:
        await upgrade(settings.database_url.get_secret_value())
    except PoolerInTheWay as error:
        sys.stderr.write(f"orders migrate: {error}; its ORDERS_DATABASE_URL must lead to PostgreSQL itself\n")
        return POOLED
    except CodeTooOld as error:
        sys.stderr.write(f"orders migrate: {error}; run the release that migrated it, or a newer one\n")
        return CODE_TOO_OLD
    except LocksNotAcquired:
        sys.stderr.write("orders migrate: a transaction held the lock of a table each time; run the command again\n")
        return LOCKED_OUT
    return DONE
