"""The holdfast command in this process: a process of its own starts slowly."""

import asyncio
import io
import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any
from unittest import mock

from payments_gateway.operator_cli.app import main

from .samples import ATTEMPT_ID_SECRET


@dataclass(frozen=True, slots=True)
class Completed:
    """Result of a command. The log is on standard error."""

    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> Any:
        """The JSON document on standard output."""
        return json.loads(self.stdout)


def environment(
    *,
    checkout_session: str = "127.0.0.1:1",
    orders: str = "127.0.0.1:1",
    stripe: str = "http://127.0.0.1:1",
    key: str = "sk_test_1",
) -> dict[str, str]:
    """Return the environment of a command. Nothing listens on port 1."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOLDFAST_OPERATOR": "ada",
        "GATEWAY_CHECKOUT_SESSION_TARGET": checkout_session,
        "GATEWAY_ORDERS_TARGET": orders,
        "GATEWAY_STRIPE_SECRET_KEY": key,
        "GATEWAY_STRIPE_PUBLISHABLE_KEY": "pk_test_1",
        "GATEWAY_STRIPE_API_BASE": stripe,
        "GATEWAY_STRIPE_REQUESTS_PER_SECOND": "10000",
        "GATEWAY_STRIPE_OPERATION_REQUESTS_PER_SECOND": "10000",
        "GATEWAY_STRIPE_MAX_RETRIES": "0",
        "GATEWAY_SERVICE_TIMEOUT_SECONDS": "0.5" if "127.0.0.1:1" in (checkout_session, orders) else "30",
        "GATEWAY_ATTEMPT_ID_SECRETS": ATTEMPT_ID_SECRET.decode(),
        "GATEWAY_ENVIRONMENT": "development",
    }


async def holdfast(variables: Mapping[str, str], *arguments: str) -> Completed:
    """Run a command in a thread of this process: the test's event loop is running here."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, variables, clear=True),
        redirect_stdout(stdout),
        redirect_stderr(stderr),
        _kept_logging(),
    ):
        code = await asyncio.to_thread(_exit_code, arguments)
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
