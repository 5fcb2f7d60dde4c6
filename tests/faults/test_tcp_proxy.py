import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from devstack.ports import LOOPBACK

from .tcp_proxy import TcpProxy


@pytest_asyncio.fixture
async def proxy() -> AsyncIterator[TcpProxy]:
    """Run a server that sends back what it gets, behind a proxy."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(100):
            writer.write(chunk)
        writer.close()

    server = await asyncio.start_server(echo, LOOPBACK, 0)
    async with TcpProxy(f"{LOOPBACK}:{server.sockets[0].getsockname()[1]}") as running:
        yield running
    server.close()


@pytest_asyncio.fixture
async def client(proxy: TcpProxy) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect, and exchange something."""
    host, _, port = proxy.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"a")
    assert await reader.read(1) == b"a"
    yield reader, writer
    writer.close()


Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def test_a_cut_breaks_every_connection(proxy: TcpProxy, client: Client) -> None:
    """The client sees a reset, and the number of broken connections is told."""
    cut = proxy.cut()

    with pytest.raises(ConnectionResetError):
        await client[0].read(1)
    assert cut == 1


async def test_nothing_passes_in_silence(proxy: TcpProxy, client: Client) -> None:
    """Bytes that are sent meanwhile arrive afterwards, and are counted."""
    reader, writer = client
    proxy.fall_silent()
    writer.write(b"b")

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.1)
    proxy.speak()

    assert await reader.read(1) == b"b"
    assert proxy.delayed == 1


async def test_a_delay_holds_what_is_sent(proxy: TcpProxy, client: Client) -> None:
    """Bytes arrive, and were delayed in both directions."""
    reader, writer = client
    proxy.delay_seconds = 0.01
    writer.write(b"c")

    assert await reader.read(1) == b"c"
    assert proxy.delayed == 2
