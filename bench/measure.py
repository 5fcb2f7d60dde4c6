"""Measurement of jobs: what was answered, and what it cost each process."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bench.job import Job, Kind, Result
from bench.stack import PROCESSES, SERVICES, BenchStack
from bench.usage import Usage, until_quiet, usages_of

_IDLE_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class Measurement:
    """A job's result, and what it cost each process until the last work was done."""

    result: Result
    before: Mapping[str, Usage]
    after: Mapping[str, Usage]

    def cpu_ms(self, *names: str) -> float:
        """Return the milliseconds of processor time per request of these processes."""
        sent = sum(self.result.outcomes.values())
        return 1000 * sum(self.after[name].cpu_seconds - self.before[name].cpu_seconds for name in names) / sent

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON for a file."""
        return {
            **self.result.without_bulk(),
            "services_cpu_ms": self.cpu_ms(*SERVICES),
            "cpu_ms": {name: self.cpu_ms(name) for name in self.after},
            "threads_cpu_ms": {name: self._threads_cpu_ms(name) for name in SERVICES},
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


def measure(stack: BenchStack, kind: Kind, count: int, **options: Any) -> Measurement:
    """Run a job from the first request until the last work is done."""
    return measure_together([stack], [stack.job(kind, count, **options)])[0]


def measure_together(stacks: Sequence[BenchStack], jobs: Sequence[Job]) -> list[Measurement]:
    """Run a job at each stack, their requests in alternation."""
    served = [stack.stack.processes[name].pid for stack in stacks for name in PROCESSES]
    until_quiet(served, seconds=_IDLE_SECONDS)
    before = [usages_of(stack.pids) for stack in stacks]
    results = stacks[0].generator.run(*jobs)
    for stack, job in zip(stacks, jobs, strict=True):
        if job.kind == "checkout":
            stack.until_delivered()
    until_quiet(served, seconds=_IDLE_SECONDS)
    return [
        Measurement(result, earlier, usages_of(stack.pids))
        for stack, result, earlier in zip(stacks, results, before, strict=True)
    ]


def successful(measurement: Measurement) -> Measurement:
    """Return it. Raises RuntimeError if a request failed."""
    if measurement.result.outcomes.keys() - {"200"}:
        raise RuntimeError(f"requests failed: {measurement.result.outcomes}")
    return measurement
