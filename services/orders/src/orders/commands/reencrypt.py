"""`orders reencrypt`: encrypts quarantined content with the first key, so that an older key can be removed."""

import json
import sys
from typing import Final

from orders.bootstrap import opened_database
from orders.postgres.connection import StatementRejected
from orders.postgres.reencryption import Reencryption, ReencryptionCounts
from orders.settings import OrdersSettings
from orders.usecases.unit_of_work import DatabaseUnavailable
from servicekit.encryption import warn_if_unencrypted

DONE: Final = 0
FAILED: Final = 1
SOME_LEFT: Final = 3


async def run_reencrypt(settings: OrdersSettings) -> int:
    """Re-encrypt; print the counts as JSON, also after a failure; return the exit code."""
    warn_if_unencrypted(settings.keyring)
    async with opened_database(settings) as (engine, retrier):
        reencryption = Reencryption(engine, settings.keyring, retrier)
        try:
            await reencryption.run()
        except (DatabaseUnavailable, StatementRejected) as failure:
            cause = str(failure) or type(failure).__name__
            sys.stderr.write(f"orders reencrypt: the database failed ({cause}); run the command again\n")
            return FAILED
        finally:
            _print_counts(reencryption.counts)
    return SOME_LEFT if reencryption.counts.left else DONE


def _print_counts(counts: ReencryptionCounts) -> None:
    printed = {
        "key_id": counts.key_id,
        "reencrypted": counts.reencrypted,
        "unreadable": counts.unreadable,
        "left": counts.left,
    }
    sys.stdout.write(json.dumps(printed) + "\n")
