"""Name server of one name, as the DNS of Kubernetes is for a headless Service: the addresses of its ready pods."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

_HEADER: Final = struct.Struct("!6H")
_TYPE_A: Final = 1
_IS_ANSWER: Final = 0x8400
"""Flags of an authoritative answer without an error."""
_NAME_OF_QUESTION: Final = 0xC000 + _HEADER.size
"""Pointer to the name in the question (RFC 1035, 4.1.4)."""


class NameServer(asyncio.DatagramProtocol):
    """Answers every question for IPv4 addresses with those of `addresses`, and every other with none."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)
        self.port = 0
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        """Keep the transport of the answers."""
        self._transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer a question."""
        assert self._transport is not None
        self._transport.sendto(self._answer(data), addr)

    def _answer(self, asked: bytes) -> bytes:
        number = _HEADER.unpack_from(asked)[0]
        end = asked.index(b"\0", _HEADER.size) + 1
        (record_type,) = struct.unpack_from("!H", asked, end)
        records = [
            struct.pack("!HHHIH", _NAME_OF_QUESTION, _TYPE_A, 1, 1, 4) + socket.inet_aton(address)
            for address in (self.addresses if record_type == _TYPE_A else ())
        ]
        header = _HEADER.pack(number, _IS_ANSWER, 1, len(records), 0, 0)
        return header + asked[_HEADER.size : end + 4] + b"".join(records)


@asynccontextmanager
async def name_server(*addresses: str) -> AsyncIterator[NameServer]:
    """Serve on a free port of loopback."""
    transport, server = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: NameServer(*addresses), local_addr=("127.0.0.1", 0)
    )
    try:
        yield server
    finally:
        transport.close()
