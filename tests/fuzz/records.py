"""What is stored, and what may be: every record must follow from an answer that said so."""

from collections.abc import Collection
from dataclasses import dataclass, field

from .subject import Subject


@dataclass(frozen=True)
class Stored:
    """The keys of all that is stored."""

    payments: frozenset[str]
    """Intent ids."""
    orders: frozenset[str]
    """Attempt ids."""
    announced: frozenset[str]
    """What the outbox speaks of."""
    attempts: frozenset[str]
    """Ids of attempts with content."""
    markers: frozenset[str]
    """Ids of attempts that are closed or deleted."""
    foreign_keys: frozenset[str]
    """Whatever else is in Redis, apart from the due indexes and the count of shards."""


@dataclass
class Promised:
    """What answers said was stored, or might be."""

    payments: set[str] = field(default_factory=set)
    """Intent ids whose decision was answered."""
    possible_payments: set[str] = field(default_factory=set)
    """Intent ids of events that were acknowledged: a decision, or not ours."""
    attempts: set[str] = field(default_factory=set)
    markers: set[str] = field(default_factory=set)


def read_stored(subject: Subject) -> Stored:
    """Read what is stored now."""
    return subject.loop.run(_read(subject))


async def _read(subject: Subject) -> Stored:
    books, store = subject.system.orders_db, subject.system.attempt_store
    keys = [key.decode(errors="replace") async for key in store.client.scan_iter(count=1000)]
    known = {kind: [key for key in keys if f"}}:{kind}" in key] for kind in ("attempt:", "closed:", "due")}
    rows = books.rows
    orders = await rows("SELECT id::text, checkout_attempt_id FROM orders")
    return Stored(
        payments=frozenset([row["intent_id"] for row in await rows("SELECT intent_id FROM payments")]),
        orders=frozenset(row["checkout_attempt_id"] for row in orders),
        announced=frozenset([row["aggregate_id"] for row in await rows("SELECT aggregate_id FROM outbox")])
        - frozenset(row["id"] for row in orders),
        attempts=frozenset(key.rpartition(":")[2] for key in known["attempt:"]),
        markers=frozenset(key.rpartition(":")[2] for key in known["closed:"]),
        foreign_keys=frozenset(keys) - {key for group in known.values() for key in group} - {_SHARDS},
    )


def unaccounted(before: Stored, now: Stored, promised: Promised) -> list[str]:
    """Say which records nobody was told of, and which are missing although somebody was."""
    payments = now.payments - before.payments
    return [
        *_say("payments that no answer spoke of", payments - promised.payments - promised.possible_payments),
        *_say("payments that were answered and are not there", promised.payments - now.payments),
        *_say("orders that no answer spoke of", now.orders - before.orders - promised.attempts),
        *_say("announcements without a record", now.announced - before.announced - now.payments),
        *_say("attempts that no answer spoke of", now.attempts - before.attempts - promised.attempts),
        *_say("markers that no answer spoke of", now.markers - before.markers - promised.markers - promised.attempts),
        *_say("keys that belong to nothing", now.foreign_keys - before.foreign_keys),
    ]


_SHARDS = "holdfast:attempt-shards"
_SHOWN = 3


def _say(what: str, found: Collection[str]) -> list[str]:
    return [f"{len(found)} {what}, such as {sorted(found)[:_SHOWN]}"] if found else []
