"""The checkout-session command as an operator runs it."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import grpc
import pytest

from checkout.session.v1 import checkout_session_pb2 as pb
from checkout.session.v1.checkout_session_pb2_grpc import CheckoutSessionServiceStub
from tests.containers.choice import RedisServer

MakeRequest = Callable[..., pb.SaveAttemptRequest]
PATIENCE_SECONDS: Final = 30


@asynccontextmanager
async def command(*arguments: str, **settings: str) -> AsyncIterator[Process]:
    """Run the command with settings and nothing else of ours in its environment; end it at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "checkout_session", *arguments),
        env=_environment(settings),
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CHECKOUT_SESSION_")}
    told = {"encryption_keys": "clear", **settings}
    return inherited | {f"CHECKOUT_SESSION_{name.upper()}": value for name, value in told.items()}


async def line_with(process: Process, message: str) -> dict[str, Any]:
    """Read the log up to a message."""
    assert process.stderr is not None
    async with asyncio.timeout(PATIENCE_SECONDS):
        while text := await process.stderr.readline():
            line: dict[str, Any] = json.loads(text)
            if line["message"] == message:
                return line
    pytest.fail(f"the log has no {message!r}")


async def test_it_serves_until_it_is_told_to_stop(valkey: RedisServer, new_request: MakeRequest) -> None:
    """It says where it listens, answers, and ends with 0 after SIGTERM."""
    async with command(redis_url=valkey.url, listen="127.0.0.1:0") as process:
        port = (await line_with(process, "listening"))["port"]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            answer = await CheckoutSessionServiceStub(channel).SaveAttempt(new_request())

        process.send_signal(signal.SIGTERM)

        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await process.wait() == 0
    assert not answer.replayed


async def test_its_log_names_an_attempt_by_eight_characters(valkey: RedisServer, new_request: MakeRequest) -> None:
    """P7: an attempt's whole id is a capability and stays out of the log."""
    request = new_request()
    async with command(redis_url=valkey.url, listen="127.0.0.1:0") as process:
        port = (await line_with(process, "listening"))["port"]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            await CheckoutSessionServiceStub(channel).SaveAttempt(request)

        line = await line_with(process, "/checkout.session.v1.CheckoutSessionService/SaveAttempt")

    assert line["attempt"] == request.attempt_id[:8]
    assert request.attempt_id not in json.dumps(line)


async def test_it_prints_its_settings_without_secrets() -> None:
    """--print-settings shows what is in force and exits."""
    async with command(
        "--print-settings", redis_url="rediss://:hidden@redis.example/0", first_check_seconds="42"
    ) as process:
        printed, _ = await process.communicate()

    settings = json.loads(printed)
    assert process.returncode == 0
    assert settings["first_check_seconds"] == 42
    assert b"hidden" not in printed


async def test_it_does_not_start_without_a_redis() -> None:
    """It exits with 2 and names the variable that is missing."""
    async with command() as process:
        _, told = await process.communicate()

    assert process.returncode == 2
    assert b"CHECKOUT_SESSION_REDIS_URL" in told
