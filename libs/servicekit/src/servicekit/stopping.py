"""Signals that stop a process: the first stops it in order, a second one at once."""

import asyncio
import logging
import os
import signal
from functools import partial
from typing import Final

_log = logging.getLogger(__name__)

_EXIT_CODE_OF_SIGNAL: Final = 128
"""Added to a signal's number, as shells do."""


def stop_signal() -> asyncio.Event:
    """Return an event that the first SIGTERM or SIGINT sets. A second one ends the process without any order."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, partial(_stop, stopping, number))
    return stopping


def _stop(stopping: asyncio.Event, number: signal.Signals) -> None:
    if not stopping.is_set():
        stopping.set()
        return
    _log.warning("ended by a second signal", extra={"signal": number.name})
    os._exit(_EXIT_CODE_OF_SIGNAL + number)  # the default action would not end the first process of a container
