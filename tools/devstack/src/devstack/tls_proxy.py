"""TLS proxy for servers that are built without TLS, as the embedded PostgreSQL and Valkey are.

It requires a client certificate of a trusted authority and forwards plaintext to the server over loopback. Certificates
are read for each connection. Authentication by password stays with the server.
"""

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator
from enum import StrEnum
from types import TracebackType
from typing import Self

from devstack.certificates import CertificateFolder
from devstack.ports import LOOPBACK

_CHUNK_BYTES = 64 * 1024
_HANDSHAKE_SECONDS = 5.0
_CLOSE_SECONDS = 1.0
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
"""SSLRequest, which a PostgreSQL client sends before the handshake (PostgreSQL: Message Formats)."""


class SslNegotiation(StrEnum):
    """Start of a connection, as libpq's `sslnegotiation`."""

    DIRECT = "direct"
    """The TLS handshake comes first, as with Redis."""
    POSTGRES = "postgres"
    """The client sends an SSLRequest first."""


class TlsProxy:
    """A proxy for one server. It runs in a thread of its own."""

    def __init__(
        self,
        server_port: int,
        certificates: CertificateFolder,
        holder: str,
        *,
        negotiation: SslNegotiation = SslNegotiation.DIRECT,
        port: int = 0,
    ) -> None:
        """Forward to a loopback port with a holder's certificate. Port 0 takes a free one."""
        self._server_port = server_port
        self._certificates = certificates
        self._holder = holder
        self._negotiation = negotiation
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._closing = asyncio.Event()
        self.client_serials: list[str] = []
        """Serial numbers of the accepted client certificates, in order."""
        self._connections: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, name=f"tls-proxy-{holder}", daemon=True)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._port

    def __enter__(self) -> Self:
        """Start listening."""
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the proxy."""
        self.close()

    def open(self) -> None:
        """Start listening."""
        self._listener = socket.create_server((LOOPBACK, self._port))
        self._listener.settimeout(0)
        self._port = self._listener.getsockname()[1]
        self._thread.start()

    def close(self) -> None:
        """Close all connections and free the port."""
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()

    def _run(self) -> None:
        with contextlib.closing(self._loop), self._listener:
            self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        accepting = asyncio.create_task(self._accept())
        await self._closing.wait()
        tasks = {accepting, *self._connections}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _ in range(2):  # closed transports finish in the next iterations of the loop
            await asyncio.sleep(0)

    async def _accept(self) -> None:
        while True:
            client, _ = await self._loop.sock_accept(self._listener)
            connection = asyncio.create_task(self._handle(client))
            self._connections.add(connection)
            connection.add_done_callback(self._connections.discard)

    async def _handle(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError, EOFError, TimeoutError):
            client.settimeout(0)
            async with asyncio.timeout(_HANDSHAKE_SECONDS):
                if self._negotiation is SslNegotiation.POSTGRES:
                    await self._negotiate_tls(client)
                reader, writer = await self._encrypted(client)
            self.client_serials.append(writer.get_extra_info("peercert")["serialNumber"])
            async with _closing(writer):
                await self._forward(reader, writer)

    async def _negotiate_tls(self, client: socket.socket) -> None:
        """Accept an SSLRequest. A client that sends something else wants plaintext and is disconnected."""
        request = b""
        while len(request) < len(_SSL_REQUEST):
            received = await self._loop.sock_recv(client, len(_SSL_REQUEST) - len(request))
            if not received:
                raise EOFError
            request += received
        if request != _SSL_REQUEST:
            raise EOFError
        await self._loop.sock_sendall(client, b"S")

    async def _encrypted(self, client: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await self._loop.connect_accepted_socket(
            lambda: protocol, client, ssl=self._context(), ssl_shutdown_timeout=0.1
        )
        return reader, asyncio.StreamWriter(transport, protocol, reader, self._loop)

    def _context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(self._certificates.authorities)
        context.load_cert_chain(
            self._certificates.certificate_of(self._holder), self._certificates.key_of(self._holder)
        )
        return context

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward in both directions until either side ends."""
        from_server, to_server = await asyncio.open_connection(LOOPBACK, self._server_port)
        async with _closing(to_server):
            directions = {
                asyncio.create_task(_copy(reader, to_server)),
                asyncio.create_task(_copy(from_server, writer)),
            }
            try:
                await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for direction in directions:
                    direction.cancel()
                await asyncio.gather(*directions, return_exceptions=True)


@contextlib.asynccontextmanager
async def _closing(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    """Close a connection gracefully after the block, or abort it after a timeout."""
    try:
        yield
        writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await writer.wait_closed()
    finally:
        writer.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(_CHUNK_BYTES):
        writer.write(chunk)
        await writer.drain()
