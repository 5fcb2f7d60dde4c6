"""The checkout-session command as an operator runs it."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from tests.containers.choice import RedisServer

from .harness import DEADLINE_SECONDS, Stub, new_request


@asynccontextmanager
async def command(*arguments: str, **settings: str) -> AsyncIterator[Process]:
    """Run the command with these settings alone; kill it at the end."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CHECKOUT_SESSION_")}
    values = {"encryption_keys": "clear", **settings}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "checkout_session", *arguments),
        env=inherited | {f"CHECKOUT_SESSION_{name.upper()}": value for name, value in values.items()},
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def log_line(process: Process, message: str) -> dict[str, Any]:
    """Read the log up to a message."""
    assert process.stderr is not None
    async with asyncio.timeout(DEADLINE_SECONDS):
        while text := await process.stderr.readline():
            line: dict[str, Any] = json.loads(text)
            if line["message"] == message:
                return line
    pytest.fail(f"the log has no {message!r}")


async def test_it_serves_until_sigterm(valkey: RedisServer) -> None:
    """It logs its port, answers, and exits with 0. The log has eight characters of an attempt's id, a capability."""
    request = new_request()
    async with command(redis_url=valkey.url, listen="127.0.0.1:0") as process:
        port = (await log_line(process, "listening"))["port"]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            await Stub(channel).SaveAttempt(request)
        line = await log_line(process, "/checkout.session.v1.CheckoutSessionService/SaveAttempt")

        process.send_signal(signal.SIGTERM)

        async with asyncio.timeout(DEADLINE_SECONDS):
            assert await process.wait() == 0
    assert line["attempt"] == request.attempt_id[:8]
    assert request.attempt_id not in json.dumps(line)
