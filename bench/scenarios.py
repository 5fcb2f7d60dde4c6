"""Scenarios of `make bench` and `make bench-quick`."""

import os
import re
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from bench.floor import Baseline, bare_services, measure_beside
from bench.generator import Generator
from bench.measure import Measurement, measure, successful
from bench.node_shop import node_shop, node_shop_is_installed
from bench.stack import SERVICES, BenchStack, running
from bench.usage import pinned, usage_of

_MIB: Final = 2**20
_STRIPE_SECONDS: Final = 0.3
_STRIPE_LIMIT: Final = 25
"""Checkouts a second that Stripe's limits of operations allow."""
_REPORTS_AT_ONCE: Final = 64
"""Webhooks that their sender keeps in flight."""


@dataclass(frozen=True, slots=True)
class Size:
    """Length of a run."""

    closed: int
    """Checkouts of each closed loop."""
    seconds: float
    """Length of each open loop."""
    backlog: int
    """Webhooks that wait."""
    prices: int
    """Prices of the large catalogue; 0 leaves it out."""
    starts: int
    """Starts of each service."""
    overload: tuple[float, ...]
    """Offered load over the capacity."""


FULL: Final = Size(closed=400, seconds=20, backlog=10_000, prices=2_000, starts=5, overload=(1, 2, 5, 10))
QUICK: Final = Size(closed=60, seconds=3, backlog=100, prices=0, starts=1, overload=(2,))


def run(size: Size, report: Callable[[str], None]) -> dict[str, Any]:
    """Run all scenarios on one stack."""
    results: dict[str, Any] = {}
    with Generator() as generator, running(generator) as stack:
        for scenario in (
            floor,
            usual_shop,
            stores,
            open_loops,
            slow_stripe,
            overload,
            backlog,
            foreign_tool,
            catalogue,
            starts,
        ):
            results[scenario.__name__] = scenario(stack, size)
            report(scenario.__name__)
    return results


def floor(stack: BenchStack, size: Size) -> dict[str, Any]:
    """One-time checkouts in closed loops, beside the bare services."""
    with bare_services(stack) as bare:
        return _checkouts_beside(stack, bare, "floor", size)


def usual_shop(stack: BenchStack, size: Size) -> dict[str, Any] | None:
    """One-time checkouts in closed loops, beside a usual shop on Node, if that is installed."""
    if not node_shop_is_installed():
        return None
    with node_shop(stack) as shop:
        return _checkouts_beside(stack, shop, "node", size)


def _checkouts_beside(stack: BenchStack, baseline: Baseline, name: str, size: Size) -> dict[str, Any]:
    """Measure checkouts, after a warm-up, by the number in flight."""
    rows = {}
    for concurrency, warm_up in ((1, 30), (16, 160)):
        _checkouts(stack, baseline, warm_up, concurrency)
    for concurrency in (1, 16):
        parts = _checkouts(stack, baseline, size.closed, concurrency)
        rows[str(concurrency)] = {
            part: {"services": ours.as_json(), name: other.as_json()} for part, (ours, other) in parts.items()
        }
    return rows


def _checkouts(
    stack: BenchStack, baseline: Baseline, count: int, concurrency: int
) -> dict[str, tuple[Measurement, Measurement]]:
    """Begin checkouts, then report their payments, each to the shop that began it."""
    begun = measure_beside(stack, baseline, "initiate", count, concurrency=concurrency)
    told = measure_beside(
        stack, baseline, "webhook", count, concurrency=concurrency, attempts=[each.result.attempts for each in begun]
    )
    return {"initiate": begun, "webhook": told}


def stores(stack: BenchStack, size: Size) -> dict[str, Any]:
    """Memory of an open attempt with five lines; rows and write-ahead log of a one-time checkout."""
    five = stack.cart("mug", "notebook", "tote", "poster", "coffee")
    redis_before = stack.redis_bytes()
    successful(measure(stack, "initiate", size.closed, concurrency=16, cart=five, **stack.signed_in))
    redis = stack.redis_bytes() - redis_before
    begun = successful(measure(stack, "initiate", size.closed, concurrency=16))
    rows_before, wal_before = stack.postgres_rows(), stack.wal_bytes()
    successful(measure(stack, "webhook", size.closed, concurrency=16, attempts=begun.result.attempts))
    wal, rows = stack.wal_bytes() - wal_before, stack.postgres_rows()
    grown = {table: (count - rows_before[table]) / size.closed for table, count in rows.items()}
    return {
        "redis_bytes_per_attempt": redis / size.closed,
        "wal_bytes_per_checkout": wal / size.closed,
        "rows_per_checkout": {table: count for table, count in grown.items() if count},
    }


def open_loops(stack: BenchStack, size: Size) -> dict[str, Any]:
    """Latency at constant arrival, well below the capacity."""
    rate = 10.0
    count = int(rate * size.seconds)
    begun = measure(stack, "initiate", count, rate=rate)
    mixed = {"cart": stack.cart("mug", "coffee"), **stack.signed_in}
    attempts = begun.result.attempts
    found = {
        "initiate": begun,
        "status of an open checkout": measure(stack, "status", 5 * count, rate=5 * rate, attempts=attempts),
        "webhook to committed order": measure(stack, "webhook", len(attempts), rate=rate, attempts=attempts),
        "whole checkout, one-time": measure(stack, "checkout", count, rate=rate),
        "whole checkout, mixed": measure(stack, "checkout", count // 2, rate=rate / 2, **mixed),
    }
    return {name: each.as_json() for name, each in found.items()}


def slow_stripe(stack: BenchStack, size: Size) -> dict[str, Any]:
    """Initiate at Stripe's limit, with Stripe at 300 ms."""
    fault = {"kind": "latency_before", "seconds": _STRIPE_SECONDS, "count": None}
    fault_id = stack.control("POST", "faults", fault)["id"]
    slow = measure(stack, "initiate", int(_STRIPE_LIMIT * size.seconds), rate=_STRIPE_LIMIT)
    stack.control("DELETE", f"faults/{fault_id}")
    return {"stripe_ms": 1000 * _STRIPE_SECONDS, **slow.as_json()}


def overload(stack: BenchStack, size: Size) -> dict[str, Any]:
    """Load at multiples of the capacity: initiates.

    The load generator has a core of its own: what it needs for ten times the load would be missing to the services.
    """
    *cores, last = sorted(os.sched_getaffinity(0))
    whole = _capacity(stack, size)
    with pinned(stack.pids.values(), set(cores or [last])), pinned([stack.generator.pid], {last}):
        capacity = _capacity(stack, size)
        found: dict[str, Any] = {"whole_machine": whole, "cores": len(cores or [last]), "capacity": capacity}
        for times in size.overload:
            rate = capacity * times
            offered = measure(stack, "initiate", int(rate * size.seconds), rate=rate)
            goodput = offered.result.successes / offered.result.seconds
            found[f"{times:g}"] = {"offered": rate, "goodput": goodput, **offered.as_json()}
    return found


def _capacity(stack: BenchStack, size: Size) -> float:
    peak = successful(measure(stack, "initiate", 4 * size.closed, concurrency=32)).result
    return peak.successes / peak.seconds


def backlog(stack: BenchStack, size: Size) -> dict[str, Any]:
    """Webhooks that waited while the gateway was away."""
    begun = successful(measure(stack, "initiate", size.backlog, concurrency=16))
    drained = measure(stack, "webhook", size.backlog, concurrency=_REPORTS_AT_ONCE, attempts=begun.result.attempts)
    growth = sum(drained.after[name].resident_bytes - drained.before[name].resident_bytes for name in SERVICES)
    return {"webhooks": size.backlog, "growth_mib": growth / _MIB, **drained.as_json()}


def foreign_tool(stack: BenchStack, size: Size) -> Mapping[str, Any]:
    """Status requests in a closed loop, by this generator and by wrk, if it is installed."""
    attempts = stack.generator.run(stack.job("initiate", 1))[0].attempts
    ours = successful(measure(stack, "status", 10 * size.closed, concurrency=16, attempts=attempts))
    found: dict[str, Any] = {"generator": {"a_second": ours.result.successes / ours.result.seconds, **ours.as_json()}}
    if (wrk := shutil.which("wrk")) is None:
        return {**found, "wrk": None}
    url = f"{stack.stack.facts.gateway}/api/checkout/{attempts[0].attempt_id}"
    command = [wrk, "-t1", "-c16", f"-d{max(1, int(size.seconds))}s", "--latency", url]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    return {**found, "wrk": {"a_second": float(rate[1]) if rate else None, "output": output}}


def starts(stack: BenchStack, size: Size) -> dict[str, dict[str, float]]:
    """Time and processor time from a process's start to its first answer that it is ready."""
    found = {}
    for service in (*stack.stack.checkout_sessions, *stack.stack.orders, *stack.stack.gateways):
        took, cpu = [], []
        for _ in range(size.starts):
            service.stop()
            began = time.monotonic()
            service.start()
            took.append(time.monotonic() - began)
            cpu.append(usage_of(service.pid).cpu_seconds)
        found[service.name] = {"seconds": statistics.median(took), "cpu_seconds": statistics.median(cpu)}
    return found


def catalogue(stack: BenchStack, size: Size) -> dict[str, Any]:
    """Answers with the catalogue: of the sample shop, and of thousands of prices."""
    found = {"sample shop": successful(measure(stack, "catalogue", 5 * size.closed, concurrency=16)).as_json()}
    if size.prices:
        stack.sell(size.prices)
        large = successful(measure(stack, "catalogue", size.closed, concurrency=16))
        found[f"{size.prices} prices more"] = large.as_json()
    return found
