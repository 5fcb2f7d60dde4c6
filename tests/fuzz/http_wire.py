"""HTTP written by hand: a client library would refuse to send most of it."""

import http.client
import socket
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from .findings import CALL_SECONDS, Hang

_READ_BYTES: Final = 65536


@dataclass(frozen=True)
class HttpAnswer:
    """What came back."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    """By lower-case name."""
    body: bytes


def request_bytes(method: str, target: str, headers: Iterable[tuple[str, bytes]] = (), body: bytes = b"") -> bytes:
    """Write a request. Its Content-Length is the body's, unless the headers bring one or a Transfer-Encoding."""
    lines = [f"{method} {target} HTTP/1.1".encode()]
    given = [(name.encode(), value) for name, value in headers]
    names = {name.lower() for name, _ in given}
    if b"host" not in names:
        given.append((b"Host", b"shop.example"))
    if body and not names & {b"content-length", b"transfer-encoding"}:
        given.append((b"Content-Length", str(len(body)).encode()))
    lines += [b"%b: %b" % pair for pair in (*given, (b"Connection", b"close"))]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def exchange(address: str, sent: bytes, *, break_off: bool = False) -> HttpAnswer | None:
    """Send bytes to host:port over a connection of their own; return the first answer, None if there was none.

    With break_off, the server is told at once that no more will come. Raises Hang when it takes too long.
    """
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=CALL_SECONDS) as connection:
            # A server may answer, and close, before it has read all that is sent.
            answered_early = not _sent(connection, sent)
            if break_off and not answered_early:
                connection.shutdown(socket.SHUT_WR)
            return _read(connection, head=sent.startswith(b"HEAD "), answered_early=answered_early)
    except TimeoutError:
        raise Hang(f"no answer in {CALL_SECONDS:g} s") from None


def _sent(connection: socket.socket, data: bytes) -> bool:
    try:
        connection.sendall(data)
    except (BrokenPipeError, ConnectionResetError):
        return False
    return True


def _read(connection: socket.socket, *, head: bool, answered_early: bool) -> HttpAnswer | None:
    deadline = time.monotonic() + CALL_SECONDS
    response = http.client.HTTPResponse(connection, method="HEAD" if head else "GET")
    try:
        response.begin()
        body = response.read()
    except (http.client.BadStatusLine, ConnectionError):
        return None
    except http.client.HTTPException as error:
        raise AssertionError(f"an answer that is no HTTP: {error!r}") from error
    finally:
        response.close()
    assert time.monotonic() < deadline or answered_early, "an answer that came in drips"
    return HttpAnswer(response.status, {name.lower(): value for name, value in response.getheaders()}, body)
