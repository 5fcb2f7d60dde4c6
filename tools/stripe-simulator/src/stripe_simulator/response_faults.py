"""Faults of a finished response on its way: reset, cut off, slow, or replaced by a proxy."""

import asyncio
import socket
import struct
from typing import Final

from aiohttp import web

from stripe_simulator.faults import Fault, FaultKind

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
_PROXY_PAGE: Final = "<html><head><title>503 Service Temporarily Unavailable</title></head><body></body></html>"
_LOGIN_PAGE: Final = "<html>Log in to the network to continue</html>"


async def send_with_fault(request: web.Request, response: web.Response, fault: Fault | None) -> web.StreamResponse:
    """Return the response as the fault changes it."""
    return response if fault is None else await _changed(request, response, fault)


async def _changed(request: web.Request, response: web.Response, fault: Fault) -> web.StreamResponse:
    match fault.rule.kind:
        case FaultKind.PROXY_ERROR_BEFORE | FaultKind.PROXY_ERROR_AFTER:
            kept = {name: value for name, value in response.headers.items() if name == "Retry-After"}
            return web.Response(status=503, text=_PROXY_PAGE, content_type="text/html", headers=kept)
        case FaultKind.NOT_JSON_AFTER:
            return web.Response(status=200, text=_LOGIN_PAGE, content_type="text/html")
        case FaultKind.FOREIGN_JSON_AFTER:
            return web.json_response({"status": "maintenance"})
        case FaultKind.CUT_BODY_AFTER:
            return await _cut_body(request, response)
        case FaultKind.SLOW_BODY_AFTER:
            return await _slow_body(request, response, fault.rule.seconds)
    return response


def reset_connection(request: web.Request) -> None:
    """Close the connection with a TCP reset, as a dying server does."""
    transport = request.transport
    if transport is None:
        return
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    transport.abort()


async def _cut_body(request: web.Request, response: web.Response) -> web.StreamResponse:
    streamed, _ = await _send_first_half(request, response)
    if request.transport is not None:
        request.transport.close()  # unlike a reset, this delivers the bytes sent so far
    return streamed


async def _slow_body(request: web.Request, response: web.Response, seconds: float) -> web.StreamResponse:
    streamed, rest = await _send_first_half(request, response)
    try:
        await asyncio.sleep(seconds)
        await streamed.write(rest)
        await streamed.write_eof()
    except ConnectionError:
        pass  # the client did not wait
    return streamed


async def _send_first_half(request: web.Request, response: web.Response) -> tuple[web.StreamResponse, bytes]:
    """Send the headers for the whole body and its first half. Return the rest."""
    body = response.body if isinstance(response.body, bytes) else b""
    streamed = web.StreamResponse(status=response.status, headers=response.headers)
    streamed.content_length = len(body)
    await streamed.prepare(request)
    await streamed.write(body[: len(body) // 2])
    return streamed, body[len(body) // 2 :]
