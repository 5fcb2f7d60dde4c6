"""What can happen to a finished answer on its way: broken off, cut, late, or replaced by something in between."""

import asyncio
import socket
import struct
from typing import Final

from aiohttp import web

from stripe_simulator.faults import Fault, FaultKind

_ABORT_ON_CLOSE: Final = struct.pack("ii", 1, 0)
_PAGE: Final = "<html><head><title>503 Service Temporarily Unavailable</title></head><body></body></html>"


async def send_with_fault(request: web.Request, response: web.Response, fault: Fault | None) -> web.StreamResponse:
    """Send the answer as the fault has it; without one, as it is."""
    kind = fault.rule.kind if fault else None
    if kind in (FaultKind.PROXY_ERROR_BEFORE, FaultKind.PROXY_ERROR_AFTER):
        kept = {name: value for name, value in response.headers.items() if name == "Retry-After"}
        return web.Response(status=503, text=_PAGE, content_type="text/html", headers=kept)
    if kind is FaultKind.NOT_JSON_AFTER:
        return web.Response(status=200, text="<html>Log in to the network to continue</html>", content_type="text/html")
    if kind is FaultKind.FOREIGN_JSON_AFTER:
        return web.json_response({"status": "maintenance"})
    if kind is FaultKind.CUT_BODY_AFTER:
        return await _cut(request, response)
    if fault is not None and kind is FaultKind.SLOW_BODY_AFTER:
        return await _second_half_late(request, response, fault.rule.seconds)
    return response


def reset_connection(request: web.Request) -> None:
    """Close the connection with a TCP reset, as a dying server or a cut network would."""
    transport = request.transport
    if transport is None:
        return
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT_ON_CLOSE)
    transport.abort()


async def _cut(request: web.Request, response: web.Response) -> web.StreamResponse:
    streamed, _ = await _first_half(request, response)
    if request.transport is not None:
        request.transport.close()  # what was sent arrives, unlike after a reset
    return streamed


async def _second_half_late(request: web.Request, response: web.Response, seconds: float) -> web.StreamResponse:
    streamed, rest = await _first_half(request, response)
    try:
        await asyncio.sleep(seconds)
        await streamed.write(rest)
        await streamed.write_eof()
    except ConnectionError:
        pass  # the client did not wait
    return streamed


async def _first_half(request: web.Request, response: web.Response) -> tuple[web.StreamResponse, bytes]:
    """Send headers that promise the whole body, and half of it; return what is left to send."""
    body = response.body if isinstance(response.body, bytes) else b""
    streamed = web.StreamResponse(status=response.status, headers=response.headers)
    streamed.content_length = len(body)
    await streamed.prepare(request)
    await streamed.write(body[: len(body) // 2])
    return streamed, body[len(body) // 2 :]
