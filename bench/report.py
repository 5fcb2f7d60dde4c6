"""Figures of docs/performance.md and its plots, written from the result of a run."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from matplotlib.figure import Figure

from bench.generator import ROOT

DOCS: Final = ROOT / "docs"
MARK: Final = "<!-- make bench-report writes all that follows -->"
_PLOTS: Final = DOCS / "images" / "performance"
_MIB: Final = 2**20
_SERVICES: Final = ("gateway", "checkout-session", "orders")


def write_page(result_file: Path) -> None:
    """Write the plots, and the page from the mark on."""
    result = json.loads(result_file.read_text())
    _PLOTS.mkdir(parents=True, exist_ok=True)
    _plot_cost(result["floor"], _PLOTS / "cost.svg")
    _plot_overload(result["overload"], _PLOTS / "overload.svg")
    sections = (_head, _cost, _usual_shop, _latency, _overload, _stores, _others)
    page = DOCS / "performance.md"
    kept, mark, _ = page.read_text().partition(MARK)
    if not mark:
        raise ValueError(f"{page.name} has no line {MARK!r}")
    page.write_text(f"{kept}{mark}\n" + "\n".join(section(result) for section in sections))


def _head(result: Mapping[str, Any]) -> str:
    machine, size = result["machine"], result["size"]
    return f"""## A run of make bench
Measured at {machine["commit"]}, {machine["time"]}. Services, stores, Stripe simulator and load generator share
{machine["cores"]} cores (Python {machine["python"]}, load before the run {machine["load"]:.1f}). There is one process
of each service, as in production but for TLS; durability is on. Open loops last {size["seconds"]:g} s.
[bench/](../bench/README.md) explains the method.
"""


def _cost(result: Mapping[str, Any]) -> str:
    rows = []
    for concurrency, parts in result["floor"].items():
        for name, sides in parts.items():
            rows.append(_cost_row(f"{name}, {concurrency} in flight", [sides]))
        rows.append(_cost_row(f"**checkout, {concurrency} in flight**", list(parts.values())))
    threads = result["floor"]["1"]["webhook"]["services"]["threads_cpu_ms"]
    busiest = [
        [service, name, f"{used:.2f}"]
        for service, found in threads.items()
        for name, used in sorted(found.items(), key=lambda each: -each[1])[:3]
    ]
    columns = ["services", "floor", "ratio", "PostgreSQL", "Redis", "p50, ms", "floor's p50"]
    head = ["", *_SERVICES, *columns]
    return f"""### Cost of a one-time checkout
Processor time in milliseconds, of a keyed initiate and of the webhook that reports its payment, in closed loops. The
floor is three bare processes that make the same calls and nothing else, their requests in alternation with the
services': 2 HTTP requests, 1 POST to Stripe, 4 unary gRPC calls, 3 scripts in Redis, 1 transaction of one statement.

{_table(head, rows)}
![Processor time of a checkout beside the floor](images/performance/cost.svg)

Busiest threads in the webhook, milliseconds a request, 1 in flight. `event_engine` is gRPC's:

{_table(["service", "thread", "CPU ms"], busiest)}"""


def _cost_row(name: str, parts: Sequence[Mapping[str, Any]]) -> list[str]:
    def cpu(process: str) -> float:
        return sum(float(part["services"]["cpu_ms"][process]) for part in parts)

    services = sum(map(cpu, _SERVICES))
    floor = sum(float(part["floor"]["services_cpu_ms"]) for part in parts)
    p50s = [sum(part[side]["latency_ms"]["p50"] for part in parts) for side in ("services", "floor")]
    values = [*map(cpu, _SERVICES), services, floor, services / floor, cpu("postgres"), cpu("valkey"), *p50s]
    return [name, *(f"{value:.1f}" for value in values)]


def _usual_shop(result: Mapping[str, Any]) -> str:
    rows = [
        [
            f"{name}, {concurrency} in flight",
            *(f"{sides[side]['services_cpu_ms']:.1f}" for side in ("services", "node")),
            *(f"{sides[side]['latency_ms']['p50']:.1f}" for side in ("services", "node")),
        ]
        for concurrency, parts in (result["usual_shop"] or {}).items()
        for name, sides in parts.items()
    ]
    table = _table(["", "services, CPU ms", "Node, CPU ms", "services p50, ms", "Node p50, ms"], rows)
    return f"""### Beside a usual shop on Node
[One process](../bench/node_shop/server.js) of express, the official stripe package and pg, which keeps the context of a
checkout in PostgreSQL and writes the order in the webhook. It has no retries, limits, logs, metrics, encryption,
quarantine or recovery of lost webhooks. Same load, in alternation:

{table if rows else "Not measured: its packages were not installed."}"""


def _latency(result: Mapping[str, Any]) -> str:
    slow = result["slow_stripe"]
    rows = [_latency_row(name, each) for name, each in result["open_loops"].items()]
    rows.append(_latency_row(f"initiate, 25 a second, Stripe at {slow['stripe_ms']:.0f} ms", slow))
    added = slow["latency_ms"].get("p99", 0) - slow["stripe_ms"]
    head = ["", "answers", "p50", "p90", "p99", "max", "late", "services, CPU ms", "generator, CPU ms"]
    return f"""### Latency
Open loops at 10 a second (50 for the status, 5 for mixed checkouts), in milliseconds from the intended start. A whole
checkout includes the payment at the simulator, which then sends all its events. `late` is the 99th percentile of the
generator's own delay.

{_table(head, rows)}
With Stripe at {slow["stripe_ms"]:.0f} ms, initiate adds {added:.0f} ms to it at the 99th percentile.
"""


def _latency_row(name: str, each: Mapping[str, Any]) -> list[str]:
    latency, sent = each["latency_ms"], sum(each["outcomes"].values())
    return [
        name,
        _outcomes(each),
        *(f"{latency.get(share, 0):.1f}" for share in ("p50", "p90", "p99", "max")),
        f"{each['late_ms'].get('p99', 0):.1f}",
        f"{each['services_cpu_ms']:.1f}",
        f"{1000 * each['generator_cpu_seconds'] / sent:.1f}",
    ]


def _overload(result: Mapping[str, Any]) -> str:
    found = result["overload"]
    best = max(found["capacity"], *(each["goodput"] for each in _loads(found).values()))
    rows = [
        [
            f"{times} times",
            f"{each['offered']:.0f}",
            f"{each['goodput']:.0f}, {each['goodput'] / best:.0%}",
            _outcomes(each),
            f"{each['latency_ms'].get('p50', 0):.0f}, {each['latency_ms'].get('p99', 0):.0f}",
            f"{each['refusal_latency_ms'].get('p99', 0):.0f}",
            f"{each['resident_growth_bytes']['gateway'] / _MIB:+.0f}",
        ]
        for times, each in _loads(found).items()
    ]
    head = [
        "offered",
        "a second",
        "200s a second, of the most",
        "answers",
        "p50, p99 of 200s, ms",
        "p99 of others, ms",
        "gateway, MiB",
    ]
    return f"""### Overload
Initiates at multiples of what services, stores and simulator together can do on {_cores(found["cores"])}, which is
{found["capacity"]:.0f} a second in a closed loop of 32. The load generator has a core of its own: what it needs to
offer ten times the load would be missing to the services. With the generator on all cores together they do
{found["whole_machine"]:.0f} a second.

{_table(head, rows)}
![Answers a second under overload](images/performance/overload.svg)
"""


def _loads(found: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the measurements by the multiple of the capacity that was offered."""
    return {times: each for times, each in found.items() if isinstance(each, Mapping)}


def _cores(count: int) -> str:
    return "one core" if count == 1 else f"{count} cores"


def _stores(result: Mapping[str, Any]) -> str:
    found = result["stores"]
    rows = ", ".join(f"{count:g} {table}" for table, count in found["rows_per_checkout"].items())
    return f"""### Stores
- Redis: {found["redis_bytes_per_attempt"]:.0f} bytes for an open attempt with five lines.
- PostgreSQL: {found["wal_bytes_per_checkout"]:.0f} bytes of write-ahead log for a one-time checkout; rows: {rows}.
"""


def _others(result: Mapping[str, Any]) -> str:
    backlog, tools = result["backlog"], result["foreign_tool"]
    memory = sum(backlog["resident_bytes"][name] for name in _SERVICES) / _MIB
    drained = sum(backlog["outcomes"].values()) / backlog["seconds"]
    wrk = "not installed" if tools["wrk"] is None else f"{tools['wrk']['a_second']:.0f} a second"
    listing = "\n".join(
        f"- {name}: {each['services_cpu_ms']:.2f} ms of processor time, p50 {each['latency_ms']['p50']:.1f} ms."
        for name, each in result["catalogue"].items()
    )
    starts = "\n".join(
        f"- {name}: {each['seconds']:.2f} s, of which {each['cpu_seconds']:.2f} s are processor time."
        for name, each in result["starts"].items()
    )
    return f"""### Backlog
{backlog["webhooks"]} webhooks, 64 at once: {_outcomes(backlog)}, {drained:.0f} a second.
The services' memory grows by {backlog["growth_mib"]:.0f} MiB, to {memory:.0f} MiB.

### Catalogue
16 requests in flight, without an `If-None-Match`:

{listing}

### Starts
From the start of a process to its first answer that it is ready, in production mode, with compiled bytecode:

{starts}

### Generator
Status requests, 16 in flight: {tools["generator"]["a_second"]:.0f} a second by the generator; by wrk: {wrk}.
"""


def _outcomes(each: Mapping[str, Any]) -> str:
    return ", ".join(f"{status}: {count}" for status, count in sorted(each["outcomes"].items()))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _plot_cost(floor: Mapping[str, Any], path: Path) -> None:
    figure = Figure(figsize=(6, 2.6), layout="constrained")
    axes = figure.subplots()
    for row, concurrency in enumerate(floor):
        for side, offset in (("services", 0.2), ("floor", -0.2)):
            left = 0.0
            for name, colour in (("initiate", "#4477aa"), ("webhook", "#ee6677")):
                width = floor[concurrency][name][side]["services_cpu_ms"]
                label = name if row == 0 and side == "services" else None
                axes.barh(row + offset, width, 0.36, left=left, color=colour, label=label)
                left += width
            axes.text(left, row + offset, f" {side}", va="center")
    axes.set_yticks(range(len(floor)), [f"{concurrency} in flight" for concurrency in floor])
    axes.set_xlabel("CPU ms a checkout")
    axes.margins(x=0.15)
    axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})


def _plot_overload(found: Mapping[str, Any], path: Path) -> None:
    figure = Figure(figsize=(6, 2.6), layout="constrained")
    axes = figure.subplots()
    for times, each in _loads(found).items():
        axes.plot(each["successes_by_second"], label=f"{times} times the capacity offered")
    axes.axhline(found["capacity"], color="#bbbbbb", linestyle="--", label="capacity")
    axes.set_xlabel("seconds")
    axes.set_ylabel("answered with 200")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})
