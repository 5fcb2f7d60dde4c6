"""Log of Stripe's events, retries and cursors, one call at a time."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from checkout.orders.v1 import stripe_events_pb2 as pb
from checkout.orders.v1 import stripe_events_pb2_grpc as pb_grpc

from ..builders import timestamp
from ..service import count, error_of

if TYPE_CHECKING:
    Events: TypeAlias = pb_grpc.StripeEventsServiceAsyncStub
else:
    Events = pb_grpc.StripeEventsServiceStub

LEASE = Duration(seconds=60)
REFUND = pb.EventObject(kind=pb.EventObject.KIND_REFUND_CHANGED, stripe_id="re_1")
LATE = "UPDATE event_retries SET next_try_at = now() - interval '1 second'"


@pytest.fixture
def events(channel: grpc.aio.Channel) -> Events:
    """Open a client of the service."""
    return Events(channel)


def handled(event_id: str, day: int = 1) -> pb.HandledEvent:
    """Return an event that was handled."""
    return pb.HandledEvent(event_id=event_id, type="refund.updated", created_at=timestamp(day))


def failed(event_id: str, *, not_understood_by: str = "", event_type: str = "refund.updated") -> pb.EventRetry:
    """Return an event that failed."""
    return pb.EventRetry(
        id=event_id,
        type=event_type,
        object=REFUND,
        created_at=timestamp(1),
        reason="StripeUnavailable",
        not_understood_by=not_understood_by,
    )


async def put(events: Events, retry: pb.EventRetry) -> None:
    """Write that an event failed."""
    await events.PutEventRetry(pb.PutEventRetryRequest(retry=retry))


async def claim(events: Events, *, limit: int = 10, version: str = "1.0") -> list[pb.EventRetry]:
    """Claim due retries."""
    request = pb.ClaimDueEventRetriesRequest(limit=limit, lease=LEASE, gateway_version=version)
    return list((await events.ClaimDueEventRetries(request)).retries)


async def unlogged(events: Events, *event_ids: str) -> list[str]:
    """Return the ids that are neither logged nor waiting."""
    return list((await events.FindUnloggedEvents(pb.FindUnloggedEventsRequest(event_ids=event_ids))).event_ids)


async def advance(events: Events, position: Timestamp, lease: Duration | None = None) -> None:
    """Move the cursor."""
    await events.AdvanceCursor(pb.AdvanceCursorRequest(name="events", position=position, lease=lease))


async def claim_cursor(events: Events) -> pb.ClaimCursorResponse:
    """Claim the cursor."""
    return await events.ClaimCursor(pb.ClaimCursorRequest(name="events", lease=LEASE))


async def test_logged_and_waiting_events_are_known(events: Events) -> None:
    """The backfill handles the others. An event may be logged twice, also within a request."""
    await events.LogEvents(pb.LogEventsRequest(events=[handled("evt_1"), handled("evt_2"), handled("evt_1")]))
    await events.LogEvents(pb.LogEventsRequest(events=[handled("evt_2"), handled("evt_3")]))
    await put(events, failed("evt_4"))

    found = await unlogged(events, "evt_5", "evt_4", "evt_1", "evt_0", "evt_3")

    assert found == ["evt_5", "evt_0"]


async def test_old_log_rows_are_pruned(events: Events, sql: Any) -> None:
    """By the time when Stripe created the event."""
    await events.LogEvents(pb.LogEventsRequest(events=[handled("evt_1", day=1), handled("evt_2", day=2)]))

    pruned = await events.PruneEvents(pb.PruneEventsRequest(created_before=timestamp(2)))

    assert pruned.finished
    assert await sql.fetchval("SELECT array_agg(event_id) FROM stripe_events") == ["evt_2"]


async def test_a_failed_event_is_due_after_a_minute_and_then_after_twice_the_time(events: Events, sql: Any) -> None:
    """At most an hour. Nothing is handed out before."""
    pauses = []
    for _ in range(9):
        await put(events, failed("evt_1"))
        due_at = await sql.fetchval("SELECT next_try_at FROM event_retries")
        pauses.append(round((due_at - datetime.now(UTC)) / timedelta(minutes=1)))

    early = await claim(events)

    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert early == []


async def test_a_due_retry_is_claimed_once_within_its_lease(events: Events, sql: Any) -> None:
    """It comes back as it was put, with the number of its failures."""
    await put(events, failed("evt_1"))
    await put(events, failed("evt_1"))
    await sql.execute(LATE)

    claimed, again = await claim(events), await claim(events)

    expected = failed("evt_1")
    expected.failures = 2
    assert (claimed, again) == ([expected], [])


async def test_what_a_version_did_not_understand_waits_for_another_version(events: Events, sql: Any) -> None:
    """A repeat by the same version would fail in the same way."""
    await put(events, failed("re_1", not_understood_by="1.0", event_type=""))
    await sql.execute(LATE)

    same, other = await claim(events, version="1.0"), await claim(events, version="1.1")

    assert (same, [each.id for each in other]) == ([], ["re_1"])


@pytest.mark.parametrize(("version", "oldest"), [("1.0", False), ("1.1", True)])
async def test_the_oldest_retry_is_one_that_the_version_tries(events: Events, version: str, *, oldest: bool) -> None:
    """Those that it did not understand wait for another version, and would hide a failing one."""
    retry = failed("re_1", not_understood_by="1.0", event_type="")
    await put(events, retry)

    claimed = await events.ClaimDueEventRetries(
        pb.ClaimDueEventRetriesRequest(limit=1, lease=LEASE, gateway_version=version)
    )

    assert claimed.waiting == 1
    assert claimed.HasField("oldest_created_at") is oldest
    assert claimed.oldest_created_at == (retry.created_at if oldest else Timestamp())


async def test_a_finished_retry_is_deleted_and_its_event_logged(events: Events, sql: Any) -> None:
    """An object without an event leaves no log row. A repeat changes nothing."""
    await put(events, failed("evt_1"))
    await put(events, failed("re_1", event_type=""))

    for retry_id in ("evt_1", "re_1", "evt_1"):
        await events.FinishEventRetry(pb.FinishEventRetryRequest(id=retry_id, failures=1))

    assert await count(sql, "event_retries", "stripe_events") == [0, 1]
    assert await unlogged(events, "evt_1") == []


async def test_a_retry_that_failed_again_since_it_was_claimed_stays(events: Events, sql: Any) -> None:
    """Another worker wrote the failure, or this one found the object not understood."""
    await put(events, failed("re_1"))
    await put(events, failed("re_1", not_understood_by="1.0"))

    await events.FinishEventRetry(pb.FinishEventRetryRequest(id="re_1", failures=1))

    assert await count(sql, "event_retries", "stripe_events") == [1, 0]


async def test_a_cursor_is_leased_to_one_caller(events: Events) -> None:
    """Until it is given up. It has no position before it is advanced."""
    first, other = await claim_cursor(events), await claim_cursor(events)
    await advance(events, timestamp(3))

    after = await claim_cursor(events)

    assert (first.claimed, first.HasField("position"), other.claimed) == (True, False, False)
    assert (after.claimed, after.position) == (True, timestamp(3))


async def test_the_cursor_of_a_killed_caller_is_claimed_after_its_lease(events: Events, sql: Any) -> None:
    """At the position that it had reached."""
    await advance(events, timestamp(3), LEASE)
    await sql.execute("UPDATE cursors SET leased_until = now() - interval '1 second'")

    after = await claim_cursor(events)

    assert (after.claimed, after.position) == (True, timestamp(3))


async def test_a_cursor_never_moves_back(events: Events) -> None:
    """A caller that is late keeps the position of a faster one. A lease keeps the cursor."""
    await advance(events, timestamp(3))
    await advance(events, timestamp(2))

    claimed = await claim_cursor(events)
    await advance(events, timestamp(4), LEASE)

    assert claimed.position == timestamp(3)
    assert not (await claim_cursor(events)).claimed


@pytest.mark.parametrize(
    ("call", "fields"),
    [
        (lambda events: events.LogEvents(pb.LogEventsRequest(events=[pb.HandledEvent()])), "event_id type created_at"),
        (
            lambda events: events.FindUnloggedEvents(pb.FindUnloggedEventsRequest(event_ids=["evt"] * 1001)),
            "event_ids",
        ),
        (lambda events: events.PruneEvents(pb.PruneEventsRequest()), "created_before"),
        (
            lambda events: events.PutEventRetry(pb.PutEventRetryRequest()),
            "id kind stripe_id created_at reason",
        ),
        (lambda events: events.ClaimDueEventRetries(pb.ClaimDueEventRetriesRequest()), "limit lease gateway_version"),
        (lambda events: events.FinishEventRetry(pb.FinishEventRetryRequest()), "failures id"),
        (lambda events: events.ClaimCursor(pb.ClaimCursorRequest(name="Events")), "name lease"),
        (lambda events: events.AdvanceCursor(pb.AdvanceCursorRequest()), "name position"),
    ],
)
async def test_incomplete_requests_are_refused(events: Events, call: Any, fields: str) -> None:
    """Every field that is missing or wrong is named."""
    error = await error_of(call(events))

    assert error.code is grpc.StatusCode.INVALID_ARGUMENT
    assert [each.field.rpartition(".")[2] for each in error.violations] == fields.split()
