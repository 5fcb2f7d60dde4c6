"""Removal of containers and networks: at exit at the latest, and those of a killed run by the next run."""

import atexit
import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import docker  # type: ignore[import-untyped] # docker ships no types
import docker.errors  # type: ignore[import-untyped] # as above

_OWNER: Final = "holdfast.tests.owner"
LABELS: Final = {_OWNER: str(os.getpid())}
"""Label of every container and network: the id of this process."""
_pending: Final[dict[int, Callable[[], object]]] = {}
"""Removals that are still due, in the order of creation."""


def remove_at_exit(created: object, remove: Callable[[], object]) -> None:
    """Remove something when this process ends, unless `is_removed` is called before."""
    _pending[id(created)] = remove


def is_removed(created: object) -> None:
    """Forget something that was removed."""
    _pending.pop(id(created), None)


def remove_leftovers() -> None:
    """Remove the containers and networks of killed runs, whose process does not exist any more."""
    client = docker.from_env()
    try:
        for container in client.containers.list(all=True, filters={"label": _OWNER}, ignore_removed=True):
            _remove_if_abandoned(container.labels[_OWNER], partial(container.remove, force=True, v=True))
        for network in client.networks.list(filters={"label": _OWNER}):
            _remove_if_abandoned(network.attrs["Labels"][_OWNER], network.remove)
    finally:
        client.close()


def _remove_if_abandoned(owner: str, remove: Callable[[], Any]) -> None:
    if not Path(f"/proc/{owner}").exists():
        with suppress(docker.errors.APIError):  # another run may remove it at the same time
            remove()


@atexit.register
def _remove_pending() -> None:
    """Remove the rest after Ctrl-C or a failed start; containers before their networks."""
    for remove in list(_pending.values())[::-1]:
        with suppress(docker.errors.DockerException, OSError):  # continue with the others
            remove()
