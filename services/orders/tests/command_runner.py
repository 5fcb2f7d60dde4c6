"""The orders command, in this process where possible: a process of its own starts slowly."""

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


@dataclass(frozen=True, slots=True)
class Completed:
    """Result of a command. The log is on standard error."""

    code: int
    stdout: str
    stderr: str


def environment(database_url: str, keys: str = KEYS) -> dict[str, str]:
    """Return the environment of a command, with timeouts that a busy machine does not reach."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "ORDERS_DATABASE_URL": database_url,
        "ORDERS_ENCRYPTION_KEYS": keys,
        "ORDERS_LISTEN": "127.0.0.1:0",
        "ORDERS_DRAIN_SECONDS": "1",
        "ORDERS_LOCK_TIMEOUT_SECONDS": "30",
        "ORDERS_STATEMENT_TIMEOUT_SECONDS": "30",
        "ORDERS_CALL_TIMEOUT_SECONDS": "60",
        "ORDERS_CONNECT_TIMEOUT_SECONDS": "30",
    }


def command_line(*arguments: str) -> list[str]:
    """Return the command line of a process."""
    return [sys.executable, "-m", "orders", *arguments]


def run(variables: Mapping[str, str], *arguments: str, stdin: str = "") -> Completed:
    """Run a command in a thread of this process: an event loop may be running here."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, variables, clear=True),
        mock.patch.object(sys, "stdin", io.StringIO(stdin)),
        redirect_stdout(stdout),
        redirect_stderr(stderr),
        _kept_logging(),
        ThreadPoolExecutor(1) as thread,
    ):
        code = thread.submit(_exit_code, arguments).result()
    return Completed(code, stdout.getvalue(), stderr.getvalue())


def _exit_code(arguments: tuple[str, ...]) -> int:
    try:
        main(arguments)
    except SystemExit as exited:
        return exited.code if isinstance(exited.code, int) else 1  # a text instead of a number is exit code 1
    return 0


@contextmanager
def _kept_logging() -> Iterator[None]:
    """Restore the handlers that the command replaces."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    root.handlers = []
    try:
        yield
    finally:
        root.handlers = handlers
        root.setLevel(level)
