"""A service is ready while all its checks agree, and says why when one does not."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
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
    """A dependency with a fault that the test sets."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.fault = fault
        self.checks = 0

    async def check(self) -> None:
        self.checks += 1
        if self.fault is not None:
            raise self.fault


async def test_the_first_failure_is_the_reason() -> None:
    """Nothing is ready before it was checked; the checks after a failure do not run."""
    store, second = _Store(NotReady("store is full")), _Store()
    readiness = Readiness([store.check, second.check])
    before = readiness.reason

    assert not await readiness.check()

    assert (before, readiness.reason) == ("not checked yet", "store is full")
    assert second.checks == 0


async def test_a_process_that_stops_is_not_ready_for_good() -> None:
    """Its checks still pass; a later round must not raise its readiness again."""
    readiness = Readiness([_Store().check])
    before = await readiness.check()

    readiness.stop()

    assert (before, readiness.reason, await readiness.check(), readiness.reason) == (
        True,
        "stopping",
        False,
        "stopping",
    )


async def test_a_changed_result_is_logged(logged: Logged) -> None:
    """One line for each change, none for each round."""
    store = _Store(NotReady("store is full"))
    readiness = Readiness([store.check])

    for fault in (store.fault, store.fault, NotReady("store is away"), None, None):
        store.fault = fault
        await readiness.check()

    lines = [(line["level"], line["message"], line.get("reason")) for line in logged()]
    assert lines == [
        ("warning", "not ready", "store is full"),
        ("warning", "not ready", "store is away"),
        ("info", "ready", None),
    ]


async def test_a_check_that_breaks_is_a_failure(logged: Logged) -> None:
    """It is logged once by type and frames, and not by the exception's message (P7)."""
    readiness = Readiness([_Store(ValueError(SOMEBODY)).check])

    assert not await readiness.check()
    assert not await readiness.check()

    (line,) = logged()
    assert (line["level"], line["reason"]) == ("error", "check failed: ValueError")
    assert line["exception"][0]["frames"][-1].endswith(" check")
    assert SOMEBODY not in str(line)


async def test_a_check_that_hangs_is_a_failure() -> None:
    """A store that never answers is away."""
    readiness = Readiness([asyncio.Event().wait], timeout_seconds=0.05)  # type: ignore[list-item]  # returns a bool

    assert not await readiness.check()
    assert readiness.reason == "check failed: TimeoutError"


async def test_health_follows_readiness_both_ways(serve: Serve) -> None:
    """The service is not serving while a check fails, whatever breaks, and serving again after."""
    store = _Store()
    async with serve(None, readiness=[store.check]) as server, _health(server) as health:
        watched = health.Watch(health_pb2.HealthCheckRequest(service="test.Echo"))
        reports = []
        for fault in (None, ValueError(), None):
            store.fault = fault
            reports.append((await watched.read()).status)
        watched.cancel()

    assert reports == [SERVING, NOT_SERVING, SERVING]


async def test_a_server_that_is_not_ready_starts_all_the_same(serve: Serve, logged: Logged) -> None:
    """It waits for its dependency, says so, and is not restarted for it."""
    store = _Store(NotReady("store is away"))
    async with serve(None, readiness=[store.check]) as server, _health(server) as health:
        answer = await health.Check(health_pb2.HealthCheckRequest())

    assert answer.status == NOT_SERVING
    assert "store is away" in [line.get("reason") for line in logged()]


async def test_a_server_is_not_serving_until_it_was_checked() -> None:
    """While the first check still runs, no request is sent to it."""
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


@pytest.mark.parametrize(("ready", "seconds_ago", "live"), [(False, 0, True), (True, 0, True), (True, 31, False)])
async def test_probes_answer_without_grpc(serve: Serve, *, ready: bool, seconds_ago: float, live: bool) -> None:
    """Alive while the process checks itself: only a restart helps a hung event loop. Ready by the checks."""
    async with serve(None, readiness=[_Store(None if ready else NotReady("store is away")).check]) as server:
        server._readiness._checked_at -= seconds_ago

        probes = {path: probe() for path, probe in server.probes.items()}

    assert probes == {"/livez": live, "/readyz": live and ready}


@asynccontextmanager
async def _health(server: GrpcServer) -> AsyncIterator[Any]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield health_pb2_grpc.HealthStub(channel)
