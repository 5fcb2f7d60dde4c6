"""Cost of a checkout, and of reads, as the stores grow.

A small stack and one that grows serve the same load at once, every other request each, so that noise of the machine
meets both. What does not grow with the data has a ratio near 1.
"""

import asyncio
import statistics
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import grpc
import redis
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from bench.compare import (
    LEAST_ROUNDS,
    Difference,
    Round,
    differences,
    measure_round,
    print_table,
)
from bench.generator import Generator
from bench.stack import BenchStack, kind_of, running
from bench.usage import usages_of
from checkout.common.v1 import common_pb2
from checkout.orders.v1 import audit_pb2, audit_pb2_grpc, operator_pb2, operator_pb2_grpc, orders_pb2, orders_pb2_grpc
from checkout.session.v1 import checkout_session_pb2, checkout_session_pb2_grpc
from checkout_session.redis_backend.keys import SHARDS, index_keys, keys_of
from orders.bootstrap import utc_now
from orders.postgres.connection import open_engine
from orders.postgres.erasure import PostgresErasureRepository
from orders.settings import OrdersSettings
from orders.usecases.erasure import ByUser

FIVE_LINES: Final = ("mug", "notebook", "tote", "poster", "coffee")
LARGE_USER: Final = "buyer_of_many"
_SMALL: Final = (1_000, 10_000)
"""Open attempts and orders of the small stack."""
_CHECKOUTS: Final = {1: 16, 4: 32}
"""Checkouts of a round at each stack, by the number in flight: few, so that two stacks on two cores refuse none."""
_BATCH: Final = 1_000
_NOT_DUE_SECONDS: Final = 86_400
_IDLE_SECONDS: Final = 120.0
_READS: Final = 30

_COPY_ATTEMPT: Final = """
    local fields, entry = redis.call('HGETALL', KEYS[1]), redis.call('HGET', KEYS[2], ARGV[1])
    for number = 4, #ARGV do
      local at = 3 * (number - 4) + 3
      redis.call('HSET', KEYS[at], unpack(fields))
      redis.call('EXPIRE', KEYS[at], ARGV[2])
      redis.call('ZADD', KEYS[at + 1], ARGV[3], ARGV[number])
      redis.call('HSET', KEYS[at + 2], ARGV[number], entry)
    end
"""
_ATTEMPT_TTL_SECONDS: Final = 3_024_000

# Copies of one purchase. Those of the large user come first; every twentieth payment is a quarantined one that was
# resolved.
_COPY_PURCHASE: Final = """
    INSERT INTO payments
    SELECT copy.* FROM payments p, generate_series({first}, {last}) n,
      LATERAL jsonb_populate_record(p, jsonb_build_object(
        'intent_id', 'pi_copy' || n, 'attempt_id', gen_random_uuid(), 'user_id', {user},
        'intent_created_at', now() - n * interval '1 second', 'decided_at', now() - n * interval '1 second')) copy
     WHERE p.intent_id = '{intent_id}';
    INSERT INTO orders
    SELECT copy.* FROM orders o, payments p,
      LATERAL jsonb_populate_record(o, jsonb_build_object(
        'id', gen_random_uuid(), 'number', p.intent_id, 'payment_intent_id', p.intent_id,
        'checkout_attempt_id', p.attempt_id, 'user_id', p.user_id, 'created_at', p.decided_at)) copy
     WHERE o.payment_intent_id = '{intent_id}' AND p.intent_id = ANY (
       SELECT 'pi_copy' || n FROM generate_series({first}, {last}) n);
    INSERT INTO order_items
    SELECT copy.* FROM orders template JOIN order_items i ON i.order_id = template.id, orders o,
      LATERAL jsonb_populate_record(i, jsonb_build_object('order_id', o.id)) copy
     WHERE template.payment_intent_id = '{intent_id}' AND o.payment_intent_id = ANY (
       SELECT 'pi_copy' || n FROM generate_series({first}, {last}) n);
    INSERT INTO payments
    SELECT copy.* FROM payments p, generate_series({first} / 20 + 1, {last} / 20) n,
      LATERAL jsonb_populate_record(p, jsonb_build_object(
        'intent_id', 'pi_bad' || n, 'attempt_id', gen_random_uuid(), 'outcome', 'quarantined',
        'quarantine_reason', 'unrecordable', 'decided_at', now() - n * interval '1 second',
        'resolved_at', now(), 'settlement', 'written_off')) copy
     WHERE p.intent_id = '{intent_id}'
"""


@dataclass(frozen=True, slots=True)
class Scale:
    """Sizes to grow to, and the time to measure at each."""

    steps: Sequence[tuple[int, int]]
    """Open attempts and orders."""
    large_user: int
    """Orders of one user."""
    page: int
    """Number of the deep page."""
    seconds: float


FULL: Final = Scale(((1_000, 10_000), (100_000, 100_000), (1_000_000, 1_000_000)), 100_000, 1_000, 60)
QUICK: Final = Scale(((10_000, 50_000),), 2_000, 50, 8)


def growth(scale: Scale) -> dict[str, Any]:
    """Measure checkouts and reads at each size, then checkouts of several processes; print the tables."""
    found: dict[str, Any] = {}
    with Generator() as generator:
        with running(generator, reconcilers=0) as small, running(generator, reconcilers=0) as large:
            fill(small, *_SMALL, large_user=0)
            begun = (0, 0)
            for attempts, orders in scale.steps:
                grown = fill(large, attempts - begun[0], orders - begun[1], scale.large_user, first=begun[1] + 1)
                begun = (attempts, orders)
                label = f"{attempts:g} attempts, {orders:g} orders"
                found[label] = {**grown, "checkouts": beside(label, small, large, scale.seconds)}
            found["reads"] = _print_reads(reads(small, page=2), reads(large, page=scale.page))
        for gateways, replicas in ((2, 1), (4, 1), (1, 2)):
            name = f"gateways: {gateways}, of checkout-session and orders: {replicas} each"
            with (
                running(generator, reconcilers=0) as one,
                running(generator, gateways=gateways, replicas=replicas, reconcilers=0) as several,
            ):
                found[name] = beside(name, one, several, scale.seconds)
    return found


def beside(name: str, base: BenchStack, other: BenchStack, seconds: float) -> dict[int, dict[str, Difference]]:
    """Measure checkouts of two stacks in alternation."""
    tables = {}
    for concurrency, count in _CHECKOUTS.items():
        measure_round(base, other, concurrency, count)
        rounds: list[tuple[Round, Round]] = []
        deadline = time.monotonic() + seconds / len(_CHECKOUTS)
        while len(rounds) < LEAST_ROUNDS or time.monotonic() < deadline:
            rounds.append(measure_round(base, other, concurrency, count))
        tables[concurrency] = differences(rounds)
        print_table(f"{name}; concurrency {concurrency}, {len(rounds)} rounds of {count}", "small", tables[concurrency])
    return tables


def fill(stack: BenchStack, attempts: int, orders: int, large_user: int, first: int = 1) -> dict[str, float]:
    """Add copies of an attempt with five lines and of a purchase; return the bytes that an attempt takes."""
    job = stack.job("initiate", 1, cart=stack.cart(*FIVE_LINES), **stack.signed_in)
    template = stack.generator.run(job)[0].attempts[0].attempt_id
    before = stack.redis_bytes()
    with redis.Redis.from_url(stack.stack.facts.redis) as store:
        for start in range(0, attempts, _BATCH):
            _copy_attempt(store, template, min(_BATCH, attempts - start))
        used = _bytes_of(store, template)
        _until_rewritten(store)
    user = f"CASE WHEN n <= {large_user} THEN '{LARGE_USER}' ELSE 'buyer_' || n END"
    for start in range(first, first + orders, 50 * _BATCH):
        last = min(start + 50 * _BATCH, first + orders) - 1
        statements = _COPY_PURCHASE.format(first=start, last=last, user=user, intent_id=stack.event_of.intent_id)
        stack.sql(f"BEGIN; {statements}; COMMIT")
    stack.sql("VACUUM ANALYZE")
    stack.sql("CHECKPOINT")
    return {"attempt_bytes": used, "attempt_bytes_of_all": (stack.redis_bytes() - before) / max(1, attempts)}


def _copy_attempt(store: Any, template: str, count: int) -> None:
    ids = [str(uuid.uuid4()) for _ in range(count)]
    of_template = keys_of(template)
    keys = [of_template.attempt, of_template.intents]
    for each in map(keys_of, ids):
        keys += [each.attempt, each.due, each.intents]
    check_at = int(time.time()) + _NOT_DUE_SECONDS
    store.eval(_COPY_ATTEMPT, len(keys), *keys, template, _ATTEMPT_TTL_SECONDS, check_at, *ids)


def _bytes_of(store: Any, attempt_id: str) -> float:
    """Return the bytes of an attempt's key, and its share of the two indexes of its shard."""
    keys = keys_of(attempt_id)
    members = {keys.due: store.zcard(keys.due), keys.intents: store.hlen(keys.intents)}
    of_indexes = [store.memory_usage(key, samples=0) / count for key, count in members.items()]
    return float(store.memory_usage(keys.attempt, samples=0) + sum(of_indexes))


def _until_rewritten(store: Any) -> None:
    """Wait until the server does not rewrite its append-only file."""
    deadline = time.monotonic() + _IDLE_SECONDS
    while store.info("persistence")["aof_rewrite_in_progress"]:
        if time.monotonic() > deadline:
            raise TimeoutError("the append-only file is still rewritten")
        time.sleep(0.1)


def reads(stack: BenchStack, page: int) -> dict[str, dict[str, float]]:
    """Return median and processor time, in milliseconds, of reads at the beginning and at depth."""
    facts = stack.stack.facts
    with grpc.insecure_channel(facts.orders) as orders, grpc.insecure_channel(facts.checkout_session) as attempts:
        of_user = orders_pb2_grpc.OrdersServiceStub(orders)
        of_operator = operator_pb2_grpc.OperatorServiceStub(orders)
        of_audit = audit_pb2_grpc.AuditServiceStub(orders)
        of_attempts = checkout_session_pb2_grpc.CheckoutSessionServiceStub(attempts)
        lists: dict[str, tuple[Any, Any]] = {
            "orders of a user": (of_user.ListOrders, orders_pb2.ListOrdersRequest(user_id=LARGE_USER, page_size=20)),
            "quarantined payments": (
                of_user.ListQuarantinedPayments,
                orders_pb2.ListQuarantinedPaymentsRequest(page_size=10),
            ),
            "payments of an audit": (
                of_audit.ListPayments,
                audit_pb2.ListPaymentsRequest(
                    kind=common_pb2.Intent.KIND_PAYMENT, created_from=Timestamp(seconds=1), page_size=100
                ),
            ),
        }
        found = {}
        for name, (call, request) in lists.items():
            found[f"{name}, page 1"] = _cost(stack, lambda call=call, request=request: call(request))  # type: ignore[misc]
            _go_to(page, call, request)
            found[f"{name}, deep page"] = _cost(stack, lambda call=call, request=request: call(request))  # type: ignore[misc]
        unresolved = operator_pb2.ListQuarantineRequest(page_size=100)
        found["what waits for an operator"] = _cost(stack, lambda: of_operator.ListQuarantine(unresolved))
        claim = checkout_session_pb2.ClaimDueAttemptsRequest(limit=100, lease=Duration(seconds=_NOT_DUE_SECONDS))
        with redis.Redis.from_url(facts.redis) as store:
            found["claim of 100 due attempts"] = _cost(
                stack, lambda: of_attempts.ClaimDueAttempts(claim), prepare=lambda: _make_due(store, 100)
            )
    found["erasure of a user with 1 order"] = asyncio.run(_erasures(facts.postgres))
    return found


def _go_to(page: int, call: Callable[[Any], Any], request: Any) -> None:
    """Move a request to a page, or to the last one."""
    for _ in range(page - 1):
        token = call(request).next_page_token
        if not token:
            return
        request.page_token = token


def _make_due(store: Any, count: int) -> None:
    """Let a few attempts of each shard come due."""
    for shard in range(SHARDS):
        due, _ = index_keys(shard)
        for attempt_id in store.zrange(due, 0, count // SHARDS):
            store.zadd(due, {attempt_id: 0})


def _cost(stack: BenchStack, call: Callable[[], Any], prepare: Callable[[], None] = lambda: None) -> dict[str, float]:
    """Call it several times."""
    took, before = [], usages_of(stack.pids)
    for _ in range(_READS):
        prepare()
        began = time.perf_counter()
        call()
        took.append(time.perf_counter() - began)
    after = usages_of(stack.pids)
    names = ("orders", "postgres", "checkout-session", "valkey")
    used = sum(after[each].cpu_seconds - before[each].cpu_seconds for each in after if kind_of(each) in names)
    return {"median_ms": 1000 * statistics.median(took), "cpu_ms": 1000 * used / _READS}


async def _erasures(url: str) -> dict[str, float]:
    """Erase several users, each in one batch."""
    settings = OrdersSettings.model_validate({"database_url": url, "environment": "development"})
    engine = open_engine(url, settings.limits)
    try:
        erasure, took = PostgresErasureRepository(engine), []
        for number in range(_READS):
            began = time.perf_counter()
            await erasure.erase_batch(ByUser(f"buyer_{5_000 + number}"), limit=100, at=utc_now())
            took.append(time.perf_counter() - began)
    finally:
        await engine.dispose()
    return {"median_ms": 1000 * statistics.median(took), "cpu_ms": 0.0}


def _print_reads(small: Mapping[str, dict[str, float]], large: Mapping[str, dict[str, float]]) -> dict[str, Any]:
    print(f"\n{'median, ms':40}{'small':>10}{'large':>10}")
    for name, each in large.items():
        print(f"{name:40}{small[name]['median_ms']:10.2f}{each['median_ms']:10.2f}")
    return {"small": small, "large": large}
