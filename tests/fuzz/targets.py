"""What hostile input is sent to: a strategy that makes inputs, and what one input must not do."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from hypothesis.strategies import SearchStrategy

from .records import Promised
from .subject import Subject


@dataclass(frozen=True)
class Target:
    """One edge of the system."""

    name: str
    inputs: SearchStrategy[Any]
    send: Callable[[Any], None]
    """Raises AssertionError for a finding."""
    short: int
    """How many inputs the short form tries."""


MakeTargets = Callable[[Subject, Promised], Iterator[Target]]


def all_targets(subject: Subject, promised: Promised) -> list[Target]:
    """Return every target there is."""
    # Imported only now: schemathesis takes half a second and changes hypothesis for the whole process.
    from . import (  # noqa: PLC0415
        api_targets,
        framing_target,
        grpc_targets,
        openapi_target,
        simulator_targets,
        webhook_targets,
    )

    makers: list[MakeTargets] = [
        openapi_target.targets,
        api_targets.targets,
        webhook_targets.targets,
        framing_target.targets,
        grpc_targets.targets,
        simulator_targets.targets,
    ]
    return [target for make in makers for target in make(subject, promised)]
