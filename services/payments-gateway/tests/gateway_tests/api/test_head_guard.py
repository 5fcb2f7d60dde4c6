"""Endless headers are cut off while they arrive, on the server as it is really started."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import aiohttp
import pytest

from payments_gateway.api.head_guard import MAX_HEAD_BYTES

from ..http_edge import INITIATE, get, post
from ..samples import checkout_json

PIECE: Final = b"a" * 8192
ENOUGH: Final = 2048
"""Pieces that nobody may take: 16 MiB."""
CHUNKED: Final = (
    b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"
)


@asynccontextmanager
async def connected(http: aiohttp.ClientSession) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Open a connection to a client's server."""
    assert http._base_url is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", http._base_url.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def pieces_taken(writer: asyncio.StreamWriter, piece: bytes) -> int:
    """Send pieces until the server hangs up; return how many it took."""
    for count in range(ENOUGH):
        try:
            writer.write(piece)
            await writer.drain()
        except OSError:
            return count
    return ENOUGH


@pytest.mark.parametrize(
    ("beginning", "piece"),
    [
        (b"GET /", PIECE),
        (b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ", PIECE),
        (b"GET / HTTP/1.1\r\n" + PIECE, PIECE),
        (b"GET / HTTP/1.1\r\nHost: x\r\n", b"X-Header: of no use\r\n" * 400),
    ],
    ids=["path", "one value", "one name", "many headers"],
)
async def test_an_endless_head_is_cut_off(http: aiohttp.ClientSession, beginning: bytes, piece: bytes) -> None:
    """431 and the end of the connection, long before memory is a question."""
    async with connected(http) as (reader, writer):
        writer.write(beginning)

        assert await pieces_taken(writer, piece) < ENOUGH
        answer = b""
        with suppress(OSError):  # the hanging-up may overtake the answer
            answer = await reader.read(1000)

    assert answer.startswith(b"HTTP/1.1 431") or not answer


@pytest.mark.parametrize("trailing", [b"0\r\nX-Trailer: ", b"1;extension="], ids=["trailer", "chunk extension"])
async def test_what_follows_a_body_may_not_be_endless_either(http: aiohttp.ClientSession, trailing: bytes) -> None:
    """The connection ends."""
    async with connected(http) as (_, writer):
        writer.write(CHUNKED % INITIATE.encode() + trailing)

        taken = await pieces_taken(writer, PIECE)

    assert taken < ENOUGH


async def test_a_head_of_a_usual_size_is_served(http: aiohttp.ClientSession) -> None:
    """Long cookies and tokens are no attack."""
    answer = await get(http, "/api/config", Cookie="c" * 8000, X_Filler="f" * 8000)

    assert answer.status == 200


async def test_many_requests_on_one_connection_are_counted_one_by_one(http: aiohttp.ClientSession) -> None:
    """Together they are more than one may be."""
    filler = "f" * 7000
    statuses = {(await post(http, INITIATE, checkout_json(), X_Filler=filler)).status for _ in range(20)}

    assert 20 * len(filler) > MAX_HEAD_BYTES
    assert statuses == {200}
