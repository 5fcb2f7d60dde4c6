"""The orders command, as an operator runs it: in this process where that will do, for one of its own starts slowly."""

import io
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from unittest import mock

from orders.__main__ import main

from .service import KEYS


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    printed: str
    said: str
    """On standard error: the log too."""


def patient_environment(database_url: str, keys: str = KEYS) -> dict[str, str]:
    """Return the environment of a command that a busy machine does not make give up."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "ORDERS_DATABASE_URL": database_url,
        "ORDERS_ENCRYPTION_KEYS": keys,
        "ORDERS_LOCK_TIMEOUT_SECONDS": "30",
        "ORDERS_STATEMENT_TIMEOUT_SECONDS": "30",
        "ORDERS_CALL_TIMEOUT_SECONDS": "60",
        "ORDERS_CONNECT_TIMEOUT_SECONDS": "30",
    }


def command_line(*arguments: str) -> list[str]:
    """Return what starts a command as a process."""
    return [sys.executable, "-m", "orders", *arguments]


def run(environment: Mapping[str, str], *arguments: str, typed: str = "") -> Done:
    """Run a command to its end in this process, in a thread: an event loop may be running here."""
    printed, said = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, environment, clear=True),
        mock.patch.object(sys, "stdin", io.StringIO(typed)),
        redirect_stdout(printed),
        redirect_stderr(said),
        _kept_logging(),
        ThreadPoolExecutor(1) as elsewhere,
    ):
        code = elsewhere.submit(_exit_code, arguments).result()
    return Done(code, printed.getvalue(), said.getvalue())


def _exit_code(arguments: tuple[str, ...]) -> int:
    try:
        main(arguments)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1  # words instead of a number are an exit code of 1
    return 0


@contextmanager
def _kept_logging() -> Iterator[None]:
    """Put back what the command replaces: it makes the log its own."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    root.handlers = []
    try:
        yield
    finally:
        root.handlers = handlers
        root.setLevel(level)
