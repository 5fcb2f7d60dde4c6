"""That nothing is left: what we make is deleted at our end at the latest, and what a killed run left by the next."""

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
"""What everything is labelled with that we make: the id of our process."""
_made: Final[dict[int, Callable[[], object]]] = {}
"""How to delete what was made and not deleted yet, in the order of its making."""


def remove_at_exit(made: object, remove: Callable[[], object]) -> None:
    """Delete something at the end of this process, unless it is gone by then."""
    _made[id(made)] = remove


def keep_no_longer(made: object) -> None:
    """Forget something that is deleted."""
    _made.pop(id(made), None)


def remove_leftovers() -> None:
    """Delete the containers and networks of test runs whose process is gone; it was killed and could not."""
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
        with suppress(docker.errors.APIError):  # another run may be at it too
            remove()


@atexit.register
def _remove_the_rest() -> None:
    """After Ctrl-C or a failure in the middle of a start, delete what nobody else will: containers before networks."""
    for remove in list(_made.values())[::-1]:
        with suppress(docker.errors.DockerException, OSError):  # the others are to go too
            remove()
