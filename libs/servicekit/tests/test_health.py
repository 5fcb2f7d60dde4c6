"""A service says that it is ready when its checks agree, and why when they do not."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from servicekit.grpc_server import GrpcServer
from servicekit.health import NotReady, Readiness

Serve = Callable[..., AbstractAsyncContextManager[GrpcServer]]
Logged = Callable[..., list[dict[str, Any]]]
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SOMEBODY = "ada@example.com"


class _Store:
    """Something a service needs, in whatever state the test puts it."""

    def __init__(self, trouble: Exception | None = None) -> None:
        self.trouble = trouble
        self.asked = 0

    async def check(self) -> None:
        self.asked += 1
        if self.trouble is not None:
            raise self.trouble


async def test_a_service_without_checks_is_ready() -> None:
    """Nobody objects."""
    readiness = Readiness([])

    assert await readiness.check()
    assert readiness.reason is None


async def test_nothing_is_ready_before_it_was_checked() -> None:
    """Silence is no consent."""
    readiness = Readiness([])

    assert readiness.reason == "not checked yet"


async def test_the_first_objection_is_the_reason() -> None:
    """Checks are asked in order; what follows an objection is not asked."""
    store, second = _Store(NotReady("store is full")), _Store()
    readiness = Readiness([store.check, second.check])

    assert not await readiness.check()
    assert readiness.reason == "store is full"
    assert second.asked == 0


async def test_a_verdict_is_logged_when_it_changes(logged: Logged) -> None:
    """One line for each change, none for each round."""
    store = _Store(NotReady("store is full"))
    readiness = Readiness([store.check])

    await readiness.check()
    await readiness.check()
    store.trouble = NotReady("store is away")
    await readiness.check()
    store.trouble = None
    await readiness.check()
    await readiness.check()

    told = [(line["level"], line["message"], line.get("reason")) for line in logged()]
    assert told == [
        ("warning", "not ready", "store is full"),
        ("warning", "not ready", "store is away"),
        ("info", "ready", None),
    ]


async def test_a_check_that_breaks_is_an_objection(logged: Logged) -> None:
    """It says by type and frames what broke, once, and not in the exception's words."""
    store = _Store(ValueError(SOMEBODY))
    readiness = Readiness([store.check])

    assert not await readiness.check()
    assert not await readiness.check()

    (line,) = logged()
    assert readiness.reason == "check failed: ValueError"
    assert (line["level"], line["reason"]) == ("error", "check failed: ValueError")
    assert line["exception"][0]["frames"][-1].endswith(" check")
    assert SOMEBODY not in str(line)


async def test_a_check_that_hangs_is_an_objection() -> None:
    """A store that takes the question and never answers is away."""

    async def hang() -> None:
        await asyncio.Future()

    readiness = Readiness([hang], within_seconds=0.05)

    assert not await readiness.check()
    assert readiness.reason == "check failed: TimeoutError"


async def test_watching_tells_every_verdict_and_survives_what_breaks() -> None:
    """An unexpected error ends neither the watching nor the service."""
    store = _Store(ValueError())
    told: list[bool] = []

    async def tell(ready: bool) -> None:  # noqa: FBT001 — the listener's signature
        told.append(ready)
        store.trouble = None if len(told) == 2 else store.trouble
        if ready:
            watching.cancel()

    watching = asyncio.create_task(Readiness([store.check], every_seconds=0).watch(tell))
    await asyncio.wait([watching], timeout=5)

    assert told == [False, False, True]


async def test_health_follows_readiness_both_ways(serve: Serve) -> None:
    """The service is reported not serving while a check objects, whatever breaks, and serving again after."""
    store = _Store()
    async with serve(None, readiness=[store.check]) as server, _health(server) as health:
        watched = health.Watch(health_pb2.HealthCheckRequest(service="test.Echo"))
        reports = [(await watched.read()).status]
        store.trouble = ValueError()
        reports.append((await watched.read()).status)
        store.trouble = None
        reports.append((await watched.read()).status)
        watched.cancel()

    assert reports == [SERVING, NOT_SERVING, SERVING]


@pytest.mark.parametrize("name", ["", "test.Echo"])
async def test_a_probe_may_ask_for_the_server_or_its_service(serve: Serve, name: str) -> None:
    """Both are serving when the checks agree."""
    async with serve(None) as server, _health(server) as health:
        answer = await health.Check(health_pb2.HealthCheckRequest(service=name))

    assert answer.status == SERVING


async def test_a_server_that_is_not_ready_starts_all_the_same(serve: Serve, logged: Logged) -> None:
    """It waits for what it needs, says so, and is not restarted for it."""
    store = _Store(NotReady("store is away"))
    async with serve(None, readiness=[store.check]) as server, _health(server) as health:
        answer = await health.Check(health_pb2.HealthCheckRequest())

    assert answer.status == NOT_SERVING
    assert "store is away" in [line.get("reason") for line in logged()]


async def test_a_server_says_not_serving_until_it_was_checked(serve: Serve) -> None:
    """Who asks while the first check still runs is not sent to a service that may not be ready."""
    checking, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        checking.set()
        await go_on.wait()

    server = GrpcServer(service_name="test.Echo", listen="127.0.0.1:0", errors={}, domain="echo", readiness=[slow])
    starting = asyncio.create_task(server.start())
    await checking.wait()
    async with _health(server) as health:
        answer = await health.Check(health_pb2.HealthCheckRequest())
    go_on.set()
    await starting
    await server.stop()

    assert answer.status == NOT_SERVING


async def test_an_unknown_service_is_not_found(serve: Serve) -> None:
    """A probe with a misspelt name fails rather than succeeds."""
    async with serve(None) as server, _health(server) as health:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await health.Check(health_pb2.HealthCheckRequest(service="test.Ecco"))

    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


class _health:  # noqa: N801 — reads as the context it is
    """A channel to a server's health service."""

    def __init__(self, server: GrpcServer) -> None:
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{server.port}")

    async def __aenter__(self) -> Any:
        return health_pb2_grpc.HealthStub(self._channel)

    async def __aexit__(self, *failure: object) -> None:
        await self._channel.close()
