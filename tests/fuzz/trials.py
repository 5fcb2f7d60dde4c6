"""Runs a target: so many inputs, or so many seconds."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.database import DirectoryBasedExampleDatabase

from .targets import Target

DATABASE: Final = Path(".hypothesis") / "fuzz"
"""Inputs that led to a finding are kept here, by target, and tried first the next time."""

_BATCH: Final = 200
_SHOWN_CHARACTERS: Final = 3000
_ALL_HEALTH_CHECKS: Final = list(HealthCheck)


@dataclass
class Tally:
    """What came of a target."""

    target: str
    inputs: int = 0
    seconds: float = 0.0
    findings: list[str] = field(default_factory=list)


def run_short(target: Target) -> int:
    """Try the same inputs every time; return how many. Raises AssertionError for a finding."""
    tally = Tally(target.name)
    run = settings(
        max_examples=target.short,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=_ALL_HEALTH_CHECKS,
        report_multiple_bugs=False,
        phases=[Phase.generate, Phase.shrink],
    )(_counted(target, tally))
    run()
    return tally.inputs


def run_batch(target: Target, tally: Tally, *, number: int, database: Path = DATABASE) -> None:
    """Try a batch of inputs that the seed determines; note a finding with how to see it again."""
    run = settings(
        max_examples=_BATCH,
        database=DirectoryBasedExampleDatabase(database / target.name.replace(" ", "-")),
        deadline=None,
        suppress_health_check=_ALL_HEALTH_CHECKS,
        print_blob=True,
        report_multiple_bugs=False,
    )(seed(number)(_counted(target, tally)))
    with _timed(tally):
        try:
            run()
        except Exception as finding:  # noqa: BLE001 - whatever goes wrong with an input is a finding
            tally.findings.append(_told(finding, target, number))


def _counted(target: Target, tally: Tally) -> Any:
    @given(target.inputs)
    def trial(value: Any) -> None:
        tally.inputs += 1
        try:
            target.send(value)
        except Exception as finding:
            finding.add_note(f"input: {repr(value)[:_SHOWN_CHARACTERS]}")
            raise

    return trial


@contextmanager
def _timed(tally: Tally) -> Iterator[None]:
    began = time.monotonic()
    yield
    tally.seconds += time.monotonic() - began


def _told(finding: BaseException, target: Target, number: int) -> str:
    notes = "\n".join(getattr(finding, "__notes__", ()))
    again = f"python -m tests.fuzz --target '{target.name}' --seed {number}"
    return f"{type(finding).__name__}: {finding}\n{notes}\nagain: {again}"
