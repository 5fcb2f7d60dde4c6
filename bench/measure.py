"""Measurement of jobs: what was answered, and what it cost each process."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bench.generator import Generator
from bench.job import Job, Kind, Result
from bench.stack import PROCESSES, SERVICES, BenchStack, kind_of
from bench.usage import Usage, until_quiet, usages_of

_IDLE_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class Measurement:
    """A job's result, and what it cost each process until the last work was done."""

    result: Result
    before: Mapping[str, Usage]
    after: Mapping[str, Usage]

    def cpu_ms(self, *names: str) -> float:
        """Return the milliseconds of processor time per request of these processes, with all replicas of each."""
        sent = sum(self.result.outcomes.values())
        used = [
            self.after[each].cpu_seconds - self.before[each].cpu_seconds
            for each in self.after
            if kind_of(each) in names
        ]
        return 1000 * sum(used) / sent

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON for a file."""
        return {
            **self.result.without_bulk(),
            "services_cpu_ms": self.cpu_ms(*SERVICES),
            "cpu_ms": {name: self.cpu_ms(name) for name in self.after},
            "threads_cpu_ms": {name: self._threads_cpu_ms(name) for name in SERVICES if name in self.after},
            "resident_bytes": {name: usage.resident_bytes for name, usage in self.after.items()},
            "resident_growth_bytes": {
                name: usage.resident_bytes - self.before[name].resident_bytes for name, usage in self.after.items()
            },
        }

    def _threads_cpu_ms(self, name: str) -> dict[str, float]:
        sent = sum(self.result.outcomes.values())
        before = self.before[name].threads
        return {
            thread: 1000 * (seconds - before.get(thread, 0.0)) / sent
            for thread, seconds in self.after[name].threads.items()
        }


@dataclass(frozen=True, slots=True)
class Target:
    """A job with the processes that serve it."""

    pids: Mapping[str, int]
    job: Job


def measure(stack: BenchStack, kind: Kind, count: int, **options: Any) -> Measurement:
    """Run a job from the first request until the last work is done, that of later webhooks included."""
    target = Target(stack.pids, stack.job(kind, count, **options))
    return measure_together(stack.generator, [target], delivered=stack.until_delivered)[0]


def measure_together(
    generator: Generator, targets: Sequence[Target], *, delivered: Callable[[], None] = lambda: None
) -> list[Measurement]:
    """Run several jobs, their requests in alternation."""
    served = [pid for target in targets for name, pid in target.pids.items() if kind_of(name) in PROCESSES]
    until_quiet(served, seconds=_IDLE_SECONDS)
    before = [usages_of(target.pids) for target in targets]
    results = generator.run(*(target.job for target in targets))
    delivered()
    until_quiet(served, seconds=_IDLE_SECONDS)
    return [
        Measurement(result, earlier, usages_of(target.pids))
        for target, result, earlier in zip(targets, results, before, strict=True)
    ]


def successful(measurement: Measurement) -> Measurement:
    """Return it. Raises RuntimeError if a request failed."""
    if measurement.result.outcomes.keys() - {"200"}:
        raise RuntimeError(f"requests failed: {measurement.result.outcomes}")
    return measurement
