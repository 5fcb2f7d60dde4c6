"""`orders erase`: erases the personal data of a buyer on request, and prints the number of erased records."""

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from checkout_rules.fields import is_storable, is_storable_id
from checkout_rules.limits import MAX_ATTEMPT_ID_CHARACTERS
from orders.bootstrap import opened_database, utc_now
from orders.domain.orders import format_order_number, is_order_number
from orders.postgres.connection import StatementRejected
from orders.postgres.erasure import PostgresErasureRepository
from orders.settings import OrdersSettings
from orders.usecases.erasure import (
    ByAttempt,
    ByOrder,
    ByUser,
    ErasureCounts,
    ErasureService,
    Subject,
    SubjectNotFound,
)
from orders.usecases.unit_of_work import DatabaseUnavailable

DONE: Final = 0
FAILED: Final = 1
NOT_FOUND: Final = 3

_FROM_STANDARD_INPUT: Final = "-"
_BATCH_SIZE: Final = 100
_MAX_BATCH_SIZE: Final = 1000


@dataclass(frozen=True, slots=True)
class DeletedAtStripe:
    """Erased customers that a person has deleted at Stripe."""

    stripe_customer_ids: tuple[str, ...]


def add_erase_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    subject = parser.add_mutually_exclusive_group(required=True)
    subject.add_argument("user", metavar="USER", nargs="?", help="id of a user; - reads it from standard input")
    subject.add_argument("--order", metavar="NUMBER", help="number of an order, for a guest")
    subject.add_argument("--attempt", metavar="ID", help="id of a checkout attempt, for a guest without an order")
    subject.add_argument(
        "--deleted-at-stripe",
        metavar="CUSTOMER",
        nargs="+",
        help="erase nothing, and name these Stripe customers no more: a person has deleted them at Stripe",
    )
    parser.add_argument("--dry-run", action="store_true", help="count the records, and erase nothing")
    parser.add_argument(
        "--batch",
        type=_batch_size,
        default=_BATCH_SIZE,
        metavar="ROWS",
        help="maximum of orders, payments and subscriptions each in one transaction (default: %(default)s)",
    )


def subject_from_arguments(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> Subject | DeletedAtStripe:
    """Read the subject. Exits with 2 if it is not valid, without quoting it (P7)."""
    if arguments.deleted_at_stripe is not None:
        if arguments.dry_run:
            parser.error("--dry-run has no meaning with --deleted-at-stripe")
        return DeletedAtStripe(
            tuple(_valid_id(parser, each, is_storable_id(each)) for each in arguments.deleted_at_stripe)
        )
    if arguments.order is not None:
        if not is_order_number(arguments.order):
            parser.error("this is not an order number: its check character does not fit")
        return ByOrder(format_order_number(arguments.order))
    if arguments.attempt is not None:
        return ByAttempt(
            _valid_id(parser, arguments.attempt, is_storable(arguments.attempt, MAX_ATTEMPT_ID_CHARACTERS))
        )
    # Every user of the machine can list the arguments of a process, so a user id can come from standard input.
    user_id = sys.stdin.readline().rstrip("\r\n") if arguments.user == _FROM_STANDARD_INPUT else arguments.user
    return ByUser(_valid_id(parser, user_id, is_storable_id(user_id)))


async def run_erase(
    settings: OrdersSettings, subject: Subject | DeletedAtStripe, *, batch_size: int, dry_run: bool
) -> int:
    """Erase or count; print the counts as JSON, also after a failure; return the exit code."""
    counts, stripe_customers = ErasureCounts(), None
    try:
        async with opened_database(settings) as (engine, retrier):
            service = ErasureService(PostgresErasureRepository(engine), retrier, utc_now, batch_size=batch_size)
            if isinstance(subject, DeletedAtStripe):
                await service.forget_customers(subject.stripe_customer_ids)
                stripe_customers = await service.stripe_customers()
            elif dry_run:
                counts, stripe_customers = await service.preview(subject)
            else:
                async for erased in service.erase(subject):
                    counts += erased
                stripe_customers = await service.stripe_customers()
    except SubjectNotFound:
        return _fail("nothing is recorded under this number or attempt", NOT_FOUND)
    except (DatabaseUnavailable, StatementRejected) as failure:
        _print_counts(counts, None, dry_run=dry_run)
        return _fail(f"the database failed ({str(failure) or type(failure).__name__}); run the command again", FAILED)
    _print_counts(counts, stripe_customers, dry_run=dry_run)
    return DONE


def _print_counts(counts: ErasureCounts, stripe_customers: Iterable[str] | None, *, dry_run: bool) -> None:
    """Print what was erased, and the customers that are to be deleted at Stripe; None after a failure."""
    printed = {
        "orders": counts.orders,
        "quarantined_payments": counts.quarantined_payments,
        "subscriptions": counts.subscriptions,
        "customers": counts.customers,
        "stripe_customers": None if stripe_customers is None else sorted(stripe_customers),
        "dry_run": dry_run,
        "complete": stripe_customers is not None,
    }
    sys.stdout.write(json.dumps(printed) + "\n")


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"orders erase: {message}\n")
    return code


def _valid_id(parser: argparse.ArgumentParser, value: str, storable: object) -> str:
    if not value or not storable:
        parser.error("an id must not be empty or too long, and has no NUL")
    return value


def _batch_size(text: str) -> int:
    size = int(text)
    if not 1 <= size <= _MAX_BATCH_SIZE:
        raise argparse.ArgumentTypeError(f"must be 1 to {_MAX_BATCH_SIZE}")
    return size
