"""Runs of one target: a short one with fixed inputs, or a batch of random ones."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.database import DirectoryBasedExampleDatabase

from .targets import Target

DATABASE: Final = Path(".hypothesis") / "fuzz"
"""Inputs that led to a finding, by target. They are tried first in the next batch."""

_BATCH: Final = 200
_SHOWN_CHARACTERS: Final = 3000
_SETTINGS: Final = settings(
    deadline=None, suppress_health_check=list(HealthCheck), report_multiple_bugs=False, database=None
)


@dataclass
class TargetResult:
    """Numbers and findings of one target."""

    target: str
    inputs: int = 0
    seconds: float = 0.0
    findings: list[str] = field(default_factory=list)


def run_short(target: Target) -> int:
    """Try the same inputs every time; return their number. Raises the finding, with the smallest input as a note."""
    result = TargetResult(target.name)
    fixed = settings(
        _SETTINGS, max_examples=target.short_inputs, derandomize=True, phases=[Phase.generate, Phase.shrink]
    )
    fixed(_trial(target, result))()
    return result.inputs


def run_batch(target: Target, result: TargetResult, *, seed_number: int, database: Path = DATABASE) -> None:
    """Try the inputs of a seed; add a finding with the smallest input and the command that repeats it."""
    folder = database / target.name.replace(" ", "-")
    random = settings(_SETTINGS, max_examples=_BATCH, database=DirectoryBasedExampleDatabase(folder))
    began = time.monotonic()
    try:
        random(seed(seed_number)(_trial(target, result)))()
    except Exception as error:  # noqa: BLE001 - every failure of an input is a finding
        notes = "\n".join(getattr(error, "__notes__", ()))
        result.findings.append(f"{type(error).__name__}: {error}\n{notes}\n{repeat_command(target.name, seed_number)}")
    result.seconds += time.monotonic() - began


def repeat_command(target: str, seed_number: int) -> str:
    """Return the command that repeats a batch."""
    return f"repeat with: python -m tests.fuzz --target '{target}' --seed {seed_number}"


def _trial(target: Target, result: TargetResult) -> Any:
    @given(target.inputs)
    def trial(value: Any) -> None:
        result.inputs += 1
        try:
            target.send(value)
        except Exception as error:
            error.add_note(f"input: {repr(value)[:_SHOWN_CHARACTERS]}")
            raise

    return trial
