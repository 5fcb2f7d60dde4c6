"""Comparison of two versions of the services: processor time per checkout, of requests that alternate.

The machine is noisy, so nothing is concluded from one run against another: both stacks run at once, every other request
goes to the other one, and the spread of the rounds' differences is part of the answer.
"""

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bench.generator import ROOT, Generator
from bench.job import Job
from bench.measure import Measurement, Target, measure_together, successful
from bench.stack import SERVICES, BenchStack, Code, checked_out, running

CHECKOUTS: Final[Mapping[int, int]] = {1: 16, 16: 64}
"""Checkouts of a round at each stack, by the number of requests in flight at both together."""
LEAST_ROUNDS: Final = 4
"""Of each start."""
WARM_UP_CHECKOUTS: Final = 64
_CONFIDENCE: Final = 0.95


@dataclass(frozen=True, slots=True)
class Round:
    """Cost of one round's checkouts."""

    cpu_ms: Mapping[str, float]
    """Processor time per checkout: of initiate, of its webhook, and of all that Redis and PostgreSQL did."""
    p50_ms: Mapping[str, float]

    @property
    def services_ms(self) -> float:
        """Processor time of the three services per checkout."""
        return self.cpu_ms["initiate"] + self.cpu_ms["webhook"]


@dataclass(frozen=True, slots=True)
class Difference:
    """Means of rounds that were measured together, their difference, and half the width of its 95 % interval."""

    base: float
    this: float
    change: float
    plus_minus: float

    @property
    def is_clear(self) -> bool:
        """True if the interval leaves out zero."""
        return abs(self.change) > self.plus_minus

    @classmethod
    def of(cls, base: Sequence[float], this: Sequence[float]) -> "Difference":
        """Return the difference of two rounds or more."""
        changes = [new - old for old, new in zip(base, this, strict=True)]
        error = statistics.stdev(changes) / math.sqrt(len(changes))
        return cls(
            base=statistics.mean(base),
            this=statistics.mean(this),
            change=statistics.mean(changes),
            plus_minus=_t(len(changes) - 1) * error,
        )


def compare(base: str, *, seconds: float) -> dict[str, Any]:
    """Measure for about so many seconds, after the starts, and print the tables.

    The stacks are started twice, in either order: two starts of the same code differ by a few percent.
    """
    measured: dict[int, list[tuple[Round, Round]]] = {concurrency: [] for concurrency in CHECKOUTS}
    with checked_out(base) as code, Generator() as generator:
        versions = (code, Code("this", ROOT))
        for first, second in (versions, versions[::-1]):
            with running(generator, first) as one, running(generator, second) as other:
                old, new = (one, other) if first is code else (other, one)
                for concurrency, rounds in measured.items():
                    measure_round(old, new, concurrency, WARM_UP_CHECKOUTS)
                    rounds.extend(_rounds(old, new, concurrency, seconds / 2 / len(CHECKOUTS)))
    tables = {concurrency: differences(rounds) for concurrency, rounds in measured.items()}
    for concurrency, rows in tables.items():
        count = f"{len(measured[concurrency])} rounds of {CHECKOUTS[concurrency]} checkouts at each"
        print_table(f"concurrency {concurrency}, {count}", code.name, rows)
    counts = {concurrency: len(rounds) for concurrency, rounds in measured.items()}
    return {"base": code.name, "rounds": counts, "concurrency": tables}


def measure_round(old: BenchStack, new: BenchStack, concurrency: int, count: int) -> tuple[Round, Round]:
    """Begin so many checkouts at each stack, then report their payments."""
    stacks = (old, new)
    begun = _measure(stacks, [stack.job("initiate", count, concurrency=concurrency) for stack in stacks])
    reported = _measure(
        stacks,
        [
            stack.job("webhook", count, concurrency=concurrency, attempts=each.result.attempts)
            for stack, each in zip(stacks, begun, strict=True)
        ],
    )
    of_old, of_new = (_round(*parts) for parts in zip(begun, reported, strict=True))
    return of_old, of_new


def _measure(stacks: Sequence[BenchStack], jobs: Sequence[Job]) -> list[Measurement]:
    targets = [Target(stack.pids, job) for stack, job in zip(stacks, jobs, strict=True)]
    return [successful(each) for each in measure_together(stacks[0].generator, targets)]


def _round(begun: Measurement, reported: Measurement) -> Round:
    parts = {"initiate": begun, "webhook": reported}
    return Round(
        {
            **{name: part.cpu_ms(*SERVICES) for name, part in parts.items()},
            **{name: begun.cpu_ms(name) + reported.cpu_ms(name) for name in (*SERVICES, "valkey", "postgres")},
        },
        {name: part.result.latency_ms["p50"] for name, part in parts.items()},
    )


def _rounds(old: BenchStack, new: BenchStack, concurrency: int, seconds: float) -> list[tuple[Round, Round]]:
    rounds: list[tuple[Round, Round]] = []
    deadline = time.monotonic() + seconds
    while len(rounds) < LEAST_ROUNDS or time.monotonic() < deadline:
        if len(rounds) % 2 == 0:
            rounds.append(measure_round(old, new, concurrency, CHECKOUTS[concurrency]))
        else:
            of_new, of_old = measure_round(new, old, concurrency, CHECKOUTS[concurrency])
            rounds.append((of_old, of_new))
    return rounds


def differences(rounds: Sequence[tuple[Round, Round]]) -> dict[str, Difference]:
    """Return the rows of a table: processor time of each process, and the medians of the latency."""

    def of(value: Callable[[Round], float]) -> Difference:
        return Difference.of([value(old) for old, _ in rounds], [value(new) for _, new in rounds])

    some_round = rounds[0][0]
    return {
        "services, CPU ms a checkout": of(lambda each: each.services_ms),
        **{f"  {name}": of(lambda each, name=name: each.cpu_ms[name]) for name in some_round.cpu_ms},  # type: ignore[misc]
        **{f"{name} p50, ms": of(lambda each, name=name: each.p50_ms[name]) for name in some_round.p50_ms},  # type: ignore[misc]
    }


def print_table(title: str, base: str, rows: Mapping[str, Difference]) -> None:
    """Print rows."""
    print(f"\n{title}")
    print(f"{'':30}{base:>10}{'this':>10}{'change':>10}   95 % interval")
    for name, row in rows.items():
        percent = 100 / row.base if row.base else 0.0
        print(
            f"{name:30}{row.base:10.2f}{row.this:10.2f}{row.change:+10.2f}   ± {row.plus_minus:.2f}"
            f"  ({row.change * percent:+.1f} % ± {row.plus_minus * percent:.1f}){'' if row.is_clear else '  not clear'}"
        )


def _t(freedom: int) -> float:
    """Return Student's t of a two-sided interval, by its expansion in powers of 1/freedom (within 1 % from 4 on)."""
    z = statistics.NormalDist().inv_cdf((1 + _CONFIDENCE) / 2)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3
