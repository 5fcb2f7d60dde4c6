"""TLS in front of a server that is built without it, as the embedded PostgreSQL and Valkey are.

A door demands a client certificate of the authorities in force, and speaks plaintext to the server behind it, over
loopback. Certificates are read anew for each connection. It opens to whoever has a certificate; passwords are still
the server's own affair.
"""

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator
from enum import Enum
from types import TracebackType
from typing import Self

from devstack.certificates import CertificateFolder
from devstack.ports import LOOPBACK

_CHUNK_BYTES = 64 * 1024
_HANDSHAKE_SECONDS = 5.0
_CLOSE_SECONDS = 1.0
_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
"""What a PostgreSQL client sends before the handshake: see its documentation, Message Formats, SSLRequest."""


class SslNegotiation(Enum):
    """How a client of the server begins."""

    DIRECT = "direct"
    """With TLS itself, as Redis's clients do."""
    POSTGRES = "postgres"
    """By asking whether there is TLS, as PostgreSQL's do."""


class TlsProxy:
    """One listening port in front of one server. It works in a thread of its own while it is open."""

    def __init__(
        self,
        server_port: int,
        certificates: CertificateFolder,
        holder: str,
        *,
        negotiation: SslNegotiation = SslNegotiation.DIRECT,
        port: int = 0,
    ) -> None:
        """Lead to a loopback port and show a holder's certificate. Port 0 takes a free one."""
        self._server_port = server_port
        self._certificates = certificates
        self._holder = holder
        self._negotiation = negotiation
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._closing = asyncio.Event()
        self.client_serials: list[str] = []
        """The serial numbers of the certificates of all who were let in, in order."""
        self._visits: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, name=f"tls-door-{holder}", daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._port

    def __enter__(self) -> Self:
        """Open it."""
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def open(self) -> None:
        """Listen from now on."""
        self._listener = socket.create_server((LOOPBACK, self._port))
        self._listener.settimeout(0)
        self._port = self._listener.getsockname()[1]
        self._thread.start()

    def close(self) -> None:
        """Cut every connection and free the port."""
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()

    def _run(self) -> None:
        with contextlib.closing(self._loop), self._listener:
            self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        accepting = asyncio.create_task(self._accept())
        await self._closing.wait()
        tasks = {accepting, *self._visits}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _ in range(2):  # a transport that was closed says so in the loop's next rounds
            await asyncio.sleep(0)

    async def _accept(self) -> None:
        while True:
            client, _ = await self._loop.sock_accept(self._listener)
            visit = asyncio.create_task(self._admit(client))
            self._visits.add(visit)
            visit.add_done_callback(self._visits.discard)

    async def _admit(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError, EOFError, TimeoutError):
            client.settimeout(0)
            async with asyncio.timeout(_HANDSHAKE_SECONDS):
                if self._negotiation is SslNegotiation.POSTGRES:
                    await self._agree_on_tls(client)
                reader, writer = await self._encrypted(client)
            self.client_serials.append(writer.get_extra_info("peercert")["serialNumber"])
            async with _closing(writer):
                await self._lead(reader, writer)

    async def _agree_on_tls(self, client: socket.socket) -> None:
        """Answer a PostgreSQL client's question. One that does not ask wants plaintext, and is not let in."""
        asked = b""
        while len(asked) < len(_SSL_REQUEST):
            heard = await self._loop.sock_recv(client, len(_SSL_REQUEST) - len(asked))
            if not heard:
                raise EOFError
            asked += heard
        if asked != _SSL_REQUEST:
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

    async def _lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass everything on, both ways, until either side ends."""
        from_server, to_server = await asyncio.open_connection(LOOPBACK, self._server_port)
        async with _closing(to_server):
            ways = {
                asyncio.create_task(_pass_on(reader, to_server)),
                asyncio.create_task(_pass_on(from_server, writer)),
            }
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)


@contextlib.asynccontextmanager
async def _closing(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    """Close a connection in the end, once what was written to it is sent; cut it if that takes long."""
    try:
        yield
        writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await writer.wait_closed()
    finally:
        writer.transport.abort()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(_CHUNK_BYTES):
        writer.write(chunk)
        await writer.drain()
