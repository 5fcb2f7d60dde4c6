"""The floor of a checkout's cost: the bare services beside the real ones, under the same load in the same run."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from bench.bare_services import LOOPBACK, TABLES
from bench.generator import ROOT
from bench.job import Attempt, Kind
from bench.measure import Measurement, Target, measure_together, successful
from bench.stack import BenchStack
from devstack.process_tree import kill_tree

_DATABASE = "bare"


@dataclass(frozen=True, slots=True)
class Baseline:
    """Processes that serve the same requests as the services, with the stores and the simulator of a real stack."""

    pids: Mapping[str, int]
    gateway: str
    """http URL."""


@contextmanager
def bare_services(stack: BenchStack) -> Iterator[Baseline]:
    """Run the bare services."""
    postgres, valkey, facts = stack.stack.postgres, stack.stack.valkey, stack.stack.facts
    postgres.create_database(_DATABASE)
    postgres.run_sql(TABLES, _DATABASE)
    with ExitStack() as started:
        pids: dict[str, int] = {}

        def start(name: str, **settings: str) -> str:
            process = subprocess.Popen(
                [sys.executable, "-m", "bench.bare_services", name],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            started.callback(end, process)
            if process.stdin is None or process.stdout is None:
                raise RuntimeError("the process has no pipes")
            process.stdin.write(json.dumps(settings).encode() + b"\n")
            process.stdin.flush()
            pids[name] = process.pid
            return f"{LOOPBACK}:{int(process.stdout.readline())}"

        session = start("checkout-session", port=str(valkey.port), password=valkey.password)
        orders = start("orders", url=postgres.url(_DATABASE))
        addresses = {"checkout_session": session, "orders": orders}
        gateway = start("gateway", stripe_api=facts.stripe_api, key=facts.stripe_secret_key, **addresses)
        yield Baseline(pids, f"http://{gateway}")


def measure_beside(
    stack: BenchStack,
    baseline: Baseline,
    kind: Kind,
    count: int,
    *,
    concurrency: int,
    attempts: Sequence[Sequence[Attempt]] = ((), ()),
) -> tuple[Measurement, Measurement]:
    """Send requests to the services and to the baseline in alternation. Return what each cost.

    `attempts` are those of the services, then those of the baseline.
    """
    job = stack.job(kind, count, concurrency=concurrency, attempts=attempts[0])
    beside = replace(job, gateways=[baseline.gateway], attempts=attempts[1])
    targets = [Target(stack.pids, job), Target(baseline.pids, beside)]
    real, floor = measure_together(stack.generator, targets)
    return successful(real), successful(floor)


def end(process: "subprocess.Popen[bytes]") -> None:
    """Kill a process with its children, and read what it wrote: `node` of a Python package is a script around it."""
    kill_tree(process.pid)
    process.communicate()
