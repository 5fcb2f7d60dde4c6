"""Command of the benchmarks: see README.md."""

import argparse
import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bench.compare import compare
from bench.generator import ROOT
from bench.growth import FULL as FULL_SCALE
from bench.growth import QUICK as SMALL_SCALE
from bench.growth import growth
from bench.scenarios import FULL, QUICK, run
from devstack.ports import LOOPBACK

RESULTS: Final = ROOT / "bench" / "results"


def main() -> None:
    """Run a command."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Load, cost and latency of the whole stack.")
    commands = parser.add_subparsers(dest="command", required=True)
    comparing = commands.add_parser("compare", help="compare this checkout with another version, in alternation")
    comparing.add_argument("base", help="a commit of this repository, or the folder of another checkout")
    comparing.add_argument("--seconds", type=float, default=60.0, help="time to measure (default: %(default)s)")
    commands.add_parser("full", help="run all scenarios")
    commands.add_parser("quick", help="run all scenarios briefly")
    growing = commands.add_parser("growth", help="measure checkouts and reads as the stores grow")
    growing.add_argument("--quick", action="store_true", help="small sizes, for the machinery rather than the figures")
    reporting = commands.add_parser("report", help="write docs/performance.md from a result")
    reporting.add_argument("result", type=Path, nargs="?", help="default: the newest of `full`")
    arguments = parser.parse_args()
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = LOOPBACK
    if arguments.command == "compare":
        write("compare", compare(arguments.base, seconds=arguments.seconds))
    elif arguments.command == "growth":
        write("growth", {"machine": machine(), **growth(SMALL_SCALE if arguments.quick else FULL_SCALE)})
    elif arguments.command == "report":
        from bench.report import write_page  # noqa: PLC0415 - matplotlib is installed for this command alone

        write_page(arguments.result or max(RESULTS.glob("full-*.json")))
    else:
        size = FULL if arguments.command == "full" else QUICK
        results = run(size, report=lambda scenario: print(f"measured: {scenario}", flush=True))
        write(arguments.command, {"size": asdict(size), "machine": machine(), **results})


def machine() -> dict[str, Any]:
    """Return the machine and the version that were measured."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return {
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "system": platform.platform(),
        "commit": commit.stdout.strip(),
        "time": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    }


def write(name: str, result: Any) -> Path:
    """Write a result into the folder of results, named for the time."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(result, indent=1, default=_as_json) + "\n")
    sys.stderr.write(f"\nwritten to {path.relative_to(ROOT)}\n")
    return path


def _as_json(value: object) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"{type(value).__name__} has no JSON")


if __name__ == "__main__":
    main()
