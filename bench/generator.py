"""Load generator: a process of its own that runs the jobs in the files that stdin names.

In an open loop requests start at a constant rate, whatever becomes of the earlier ones, and latency counts from the
moment at which a request should have started. A server that stalls is charged for all who came meanwhile.
"""

import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import uvloop
from hdrh.histogram import HdrHistogram

from bench.buyer import Buyer
from bench.job import Job, Result

ROOT: Final = Path(__file__).parents[1]
_LONGEST_MICROSECONDS: Final = 600_000_000
_DIGITS: Final = 3
_PERCENTILES: Final = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99.9": 99.9, "max": 100.0}
SUCCESS: Final = "200"


class Generator:
    """The generator's process, as its user sees it. One for many jobs, so that none pays for its start."""

    def __enter__(self) -> Self:
        """Start it."""
        self._folder = tempfile.TemporaryDirectory(prefix="holdfast-generator-")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.generator"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()
        self._folder.cleanup()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def run(self, *jobs: Job) -> list[Result]:
        """Run jobs to their last answer. Closed loops share what is in flight, so that their requests alternate."""
        streams = self._process
        if streams.stdin is None or streams.stdout is None:
            raise RuntimeError("the generator has no pipes")
        # Jobs and results of ten thousand requests are too large for a pipe: it carries the file's name.
        file = Path(self._folder.name) / "jobs.json"
        file.write_text(json.dumps([job.as_json() for job in jobs]))
        streams.stdin.write(f"{file}\n".encode())
        streams.stdin.flush()
        if not streams.stdout.readline():
            raise RuntimeError(f"the generator ended with {streams.wait()}")
        return [Result.from_json(each) for each in json.loads(file.read_text())]


class Recorder:
    """Latencies and outcomes of one job."""

    def __init__(self) -> None:
        self._successes, self._refusals, self._late = (
            HdrHistogram(1, _LONGEST_MICROSECONDS, _DIGITS) for _ in range(3)
        )
        self._outcomes: Counter[str] = Counter()
        self._by_second: Counter[int] = Counter()
        self.began = self._ended = time.monotonic()
        self._cpu_before = _own_cpu_seconds()

    async def measured(self, send: Awaitable[str], intended: float) -> None:
        """Await one request that should have started at `intended`."""
        self._late.record_value(_microseconds(time.monotonic() - intended))
        outcome = await send
        self._ended = time.monotonic()
        self._outcomes[outcome] += 1
        histogram = self._successes if outcome == SUCCESS else self._refusals
        histogram.record_value(_microseconds(self._ended - intended))
        if outcome == SUCCESS:
            self._by_second[int(self._ended - self.began)] += 1

    def result(self, buyer: Buyer) -> Result:
        """Return what was recorded."""
        last_second = int(self._ended - self.began)
        return Result(
            outcomes=dict(self._outcomes),
            latency_ms=_percentiles(self._successes),
            refusal_latency_ms=_percentiles(self._refusals),
            late_ms=_percentiles(self._late),
            successes_by_second=[self._by_second[second] for second in range(last_second + 1)],
            seconds=self._ended - self.began,
            generator_cpu_seconds=_own_cpu_seconds() - self._cpu_before,
            histogram=self._successes.encode().decode(),
            attempts=buyer.begun,
        )


async def run(jobs: Sequence[Job]) -> list[Result]:
    """Send the requests of all jobs and wait for all answers."""
    # It wakes in the order of arrival: with one worker for each of two jobs, each sends every other request.
    in_flight = asyncio.Semaphore(max(job.concurrency for job in jobs))
    return await asyncio.gather(*(_run(job, in_flight) for job in jobs))


async def _run(job: Job, in_flight: asyncio.Semaphore) -> Result:
    async with Buyer(job) as buyer:
        recorder = Recorder()
        if job.rate is None:
            await _closed_loop(job, buyer.send, recorder, in_flight)
        else:
            await _open_loop(job, job.rate, buyer.send, recorder)
        return recorder.result(buyer)


async def _open_loop(job: Job, rate: float, send: Callable[[int], Awaitable[str]], recorder: Recorder) -> None:
    async with asyncio.TaskGroup() as requests:
        for number in range(job.count):
            intended = recorder.began + number / rate
            if (early := intended - time.monotonic()) > 0:
                await asyncio.sleep(early)
            requests.create_task(recorder.measured(send(number), intended))


async def _closed_loop(
    job: Job, send: Callable[[int], Awaitable[str]], recorder: Recorder, in_flight: asyncio.Semaphore
) -> None:
    waiting = iter(range(job.count))

    async def work() -> None:
        for number in waiting:
            async with in_flight:
                await recorder.measured(send(number), time.monotonic())

    async with asyncio.TaskGroup() as workers:
        for _ in range(job.concurrency):
            workers.create_task(work())


def _microseconds(seconds: float) -> int:
    return max(1, min(_LONGEST_MICROSECONDS, round(seconds * 1e6)))


def _percentiles(histogram: Any) -> dict[str, float]:
    if not histogram.get_total_count():
        return {}
    return {name: histogram.get_value_at_percentile(share) / 1000 for name, share in _PERCENTILES.items()}


def _own_cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Run one job after another until the end of the input."""
    for line in sys.stdin:
        file = Path(line.strip())
        results = uvloop.run(run([Job.from_json(each) for each in json.loads(file.read_text())]))
        file.write_text(json.dumps([asdict(each) for each in results]))
        print("done", flush=True)


if __name__ == "__main__":
    main()
