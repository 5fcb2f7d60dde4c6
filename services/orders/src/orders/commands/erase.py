"""`orders erase`: who bought is erased at the wish of a buyer, and the operator is told how much that was."""

import argparse
import json
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final

from checkout_rules.fields import is_storable
from checkout_rules.limits import MAX_ATTEMPT_ID_CHARACTERS, MAX_ID_CHARACTERS
from orders.domain.orders import is_order_number, write_order_number
from orders.postgres.connection import StatementRefused, open_engine
from orders.postgres.erasure import PostgresErasableRecords
from orders.settings import OrdersSettings
from orders.usecases.erasure import Eraser, OfAttempt, OfOrder, OfUser, Subject, SubjectUnknown, Tally
from orders.usecases.retrying import Patience
from orders.usecases.unit_of_work import DatabaseUnavailable

DONE: Final = 0
FAILED: Final = 1
UNKNOWN: Final = 3

_FROM_STANDARD_INPUT: Final = "-"
_BATCH_SIZE: Final = 100
_LARGEST_BATCH: Final = 1000


def describe_erase(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    subject = parser.add_mutually_exclusive_group(required=True)
    subject.add_argument("user", metavar="USER", nargs="?", help="a user's id; - reads it from standard input")
    subject.add_argument("--order", metavar="NUMBER", help="an order's number, for a guest")
    subject.add_argument("--attempt", metavar="ID", help="a checkout attempt's id, for a guest without an order")
    parser.add_argument("--dry-run", action="store_true", help="count what would be erased, and erase nothing")
    parser.add_argument(
        "--batch",
        type=_batch_size,
        default=_BATCH_SIZE,
        metavar="ROWS",
        help="most orders, payments and subscriptions each in one transaction (default: %(default)s)",
    )


def read_subject(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> Subject:
    """Read whose data is meant. Ends the program with 2, without quoting it, if nobody can be meant by it (P7)."""
    if arguments.order is not None:
        if not is_order_number(arguments.order):
            parser.error("that is not an order number: its check character does not fit")
        return OfOrder(write_order_number(arguments.order))
    if arguments.attempt is not None:
        return OfAttempt(_text(parser, arguments.attempt, MAX_ATTEMPT_ID_CHARACTERS))
    # Everybody on the machine can read a process's arguments: an id that says who it is comes by standard input.
    named = sys.stdin.readline().rstrip("\r\n") if arguments.user == _FROM_STANDARD_INPUT else arguments.user
    return OfUser(_text(parser, named, MAX_ID_CHARACTERS))


async def run_erase(settings: OrdersSettings, subject: Subject, *, batch_size: int, dry_run: bool) -> int:
    """Erase, or count; print how much as JSON, also when it ends early; return the exit code."""
    tally = Tally()
    try:
        async with _eraser(settings, batch_size) as eraser:
            if dry_run:
                tally = await eraser.foresee(subject)
            else:
                async for erased in eraser.erase(subject):
                    tally += erased
    except SubjectUnknown:
        return _end("nothing is recorded under this number or attempt", UNKNOWN)
    except (DatabaseUnavailable, StatementRefused) as failure:
        _tell(tally, dry_run=dry_run, complete=False)
        return _end(f"the database is away or refuses ({str(failure) or type(failure).__name__}); run it again", FAILED)
    _tell(tally, dry_run=dry_run, complete=True)
    return DONE


@asynccontextmanager
async def _eraser(settings: OrdersSettings, batch_size: int) -> AsyncIterator[Eraser]:
    patience = Patience(
        budget_seconds=settings.call_timeout_seconds, tries=settings.database_tries, jitter=random.random
    )
    engine = open_engine(settings.database_url.get_secret_value(), settings.limits)
    try:
        yield Eraser(PostgresErasableRecords(engine), patience, _now, batch_size=batch_size)
    finally:
        await patience.settle()
        await engine.dispose()


def _now() -> datetime:
    return datetime.now(UTC)


def _tell(tally: Tally, *, dry_run: bool, complete: bool) -> None:
    told = {
        "orders": tally.orders,
        "quarantined_payments": tally.quarantined_payments,
        "subscriptions": tally.subscriptions,
        "customers": tally.customers,
        "dry_run": dry_run,
        "complete": complete,
    }
    sys.stdout.write(json.dumps(told) + "\n")


def _end(words: str, code: int) -> int:
    sys.stderr.write(f"orders erase: {words}\n")
    return code


def _text(parser: argparse.ArgumentParser, value: str, limit: int) -> str:
    if not value or not is_storable(value, limit):
        parser.error(f"an id has 1 to {limit} characters and no NUL")
    return value


def _batch_size(text: str) -> int:
    size = int(text)
    if not 1 <= size <= _LARGEST_BATCH:
        raise argparse.ArgumentTypeError(f"must be 1 to {_LARGEST_BATCH}")
    return size
