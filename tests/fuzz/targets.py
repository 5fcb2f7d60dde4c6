"""Targets: where inputs are sent, and what must hold for each response."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from hypothesis.strategies import SearchStrategy

from .fuzzed_system import FuzzedSystem

CALL_SECONDS: Final = 30.0
"""Time limit of a call. The deadlines of the services are shorter, so a call that takes longer hangs."""

_RETRY_AFTER_SECONDS: Final = (0.0, 0.5, 2.0)

T = TypeVar("T")


@dataclass(frozen=True)
class Target:
    """Inputs and where they are sent. `send` raises an AssertionError for a finding."""

    name: str
    inputs: SearchStrategy[Any]
    send: Callable[[Any], None]
    short_inputs: int
    """Number of inputs in the short form."""


def retry_unavailable(call: Callable[[], T], is_unavailable: Callable[[T], bool]) -> T:
    """Repeat a call that is answered with "unavailable", which may happen for a moment on a busy machine."""
    for pause in _RETRY_AFTER_SECONDS:
        response = call()
        if not is_unavailable(response):
            return response
        time.sleep(pause)
    return call()


def all_targets(system: FuzzedSystem) -> list[Target]:
    """Return every target."""
    # Imported late: schemathesis takes half a second and changes hypothesis for the whole process.
    from . import api_targets, grpc_targets, openapi_target, webhook_targets  # noqa: PLC0415

    modules = (openapi_target, api_targets, webhook_targets, grpc_targets)
    return [target for module in modules for target in module.targets(system)]
