"""Load shedding: what is refused, in which order, and how a caller reads it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import REGISTRY

from servicekit.errors import DETAILS_KEY
from servicekit.grpc_client import RpcClient
from servicekit.grpc_server import GrpcServer
from servicekit.load_shedding import Criticality, LoadShedder, Overloaded
from servicekit.unavailable import ServiceOverloaded

Serve = Callable[..., AbstractAsyncContextManager[GrpcServer]]
SayTo = Callable[..., AbstractAsyncContextManager[Any]]
Logged = Callable[..., list[dict[str, Any]]]
CLIENT: Final = RpcClient("echo", {}, timeout_seconds=10)


class Held:
    """A method that answers when it is told to."""

    def __init__(self) -> None:
        self.arrived = 0
        self.released = asyncio.Event()

    async def __call__(self, request: StringValue, _context: Any) -> StringValue:
        """Answer once released."""
        self.arrived += 1
        await self.released.wait()
        return request

    @asynccontextmanager
    async def calls(self, say: Any, count: int) -> AsyncIterator[None]:
        """Keep some calls in flight, which are all answered at the end."""
        calls = [asyncio.create_task(CLIENT.call(say, StringValue())) for _ in range(count)]
        async with asyncio.timeout(10):
            while self.arrived < count:  # noqa: ASYNC110 — a method signals no event
                await asyncio.sleep(0.005)
        yield
        self.released.set()
        await asyncio.gather(*calls)


@pytest.mark.parametrize(
    ("criticality", "admitted"),
    [(Criticality.BACKGROUND, 2), (Criticality.LOW, 4), (Criticality.NORMAL, 6), (Criticality.HIGH, 8)],
)
def test_the_least_critical_is_refused_first(criticality: Criticality, admitted: int) -> None:
    """By the requests in flight of every kind together."""
    shedder = LoadShedder(8)
    for _ in range(admitted):
        shedder.acquire(Criticality.HIGH)

    with pytest.raises(Overloaded):
        shedder.acquire(criticality)
    shedder.in_flight -= 1
    shedder.acquire(criticality)


def test_a_slot_is_given_back_once() -> None:
    """At the end of the request, unless it gave it back before."""
    shedder = LoadShedder(4)

    with shedder.acquire(Criticality.HIGH), shedder.acquire(Criticality.HIGH) as early:
        early.release()
        held = shedder.in_flight

    assert (held, shedder.in_flight) == (1, 0)


def test_refusals_are_counted_and_warned_of_now_and_then(logged: Logged) -> None:
    """A line for each would be load of its own."""
    clock, before = [100.0], _shed("low")
    shedder = LoadShedder(4, monotonic=lambda: clock[0])

    for seconds in (0, 1, 8, 2):
        clock[0] += seconds
        shedder.refused(Criticality.LOW)

    assert _shed("low") - before == 4
    lines = logged("servicekit.load_shedding")
    assert [(line["level"], line["message"], line["criticality"]) for line in lines] == [
        ("warning", "overloaded, requests are refused", "low")
    ] * 2


async def test_a_call_too_many_is_refused_at_once_and_not_sent_again(serve: Serve, say_to: SayTo) -> None:
    """Health still answers, and so does the service once the others are done."""
    held, before = Held(), _answers("RESOURCE_EXHAUSTED")
    async with serve(held, max_in_flight=4) as server, say_to(server.port) as say:
        async with held.calls(say, 4):
            with pytest.raises(ServiceOverloaded):
                await CLIENT.call(say, StringValue())
            healthy = await _health(server)

        await CLIENT.call(say, StringValue())

    assert held.arrived == 5
    assert _answers("RESOURCE_EXHAUSTED") - before == 1
    assert healthy == health_pb2.HealthCheckResponse.SERVING


async def test_a_refusal_says_when_to_come_again(serve: Serve, say_to: SayTo) -> None:
    """As google.rpc.RetryInfo. A method that is named less critical is refused before the others."""
    held = Held()
    async with (
        serve(held, max_in_flight=8, criticality={"Say": Criticality.BACKGROUND}) as server,
        say_to(server.port) as say,
        held.calls(say, 2),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await say(StringValue())

    trailer = dict(refused.value.trailing_metadata() or ())
    details = status_pb2.Status.FromString(trailer[DETAILS_KEY]).details
    retry = error_details_pb2.RetryInfo()
    assert any(detail.Unpack(retry) for detail in details)
    assert retry.retry_delay.seconds == 2


async def test_a_call_without_time_is_not_begun(serve: Serve, say_to: SayTo) -> None:
    """The answer does not say who used its time up: the call's wait here, or its earlier tries."""
    held = Held()
    async with serve(held) as server, say_to(server.port) as say:
        codes = {await _code(say(StringValue(), timeout=0.09)) for _ in range(10)}

    assert codes == {grpc.StatusCode.DEADLINE_EXCEEDED}
    assert held.arrived == 0


async def _code(call: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call
    return failed.value.code()


async def _health(server: GrpcServer) -> int:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)  # its stubs know no methods
        return int((await stub.Check(health_pb2.HealthCheckRequest())).status)


def _shed(criticality: str) -> float:
    return REGISTRY.get_sample_value("holdfast_requests_shed_total", {"criticality": criticality}) or 0


def _answers(code: str) -> float:
    labels = {"method": "/test.Echo/Say", "code": code}
    return REGISTRY.get_sample_value("holdfast_grpc_requests_total", labels) or 0
