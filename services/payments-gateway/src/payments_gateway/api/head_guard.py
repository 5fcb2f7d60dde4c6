"""Refuses endless headers while they arrive: the server's parser would keep them all, before anybody is asked who."""

from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES: Final = 64 * 1024
"""What a request may hold besides its body, give or take what arrives at once (256 KiB at most)."""
_TOO_LARGE: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class HeadGuard(HttpToolsProtocol):
    """uvicorn's HTTP, which ends a connection that sends too much without completing a head or bringing a body.

    Bodies are not counted (BodyLimitMiddleware does that); headers after a body and chunk extensions are.
    """

    _in_head = False
    _kept_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived, and count what the parser may be keeping of it."""
        self._kept_bytes += len(data)
        super().data_received(data)
        if self._kept_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            if self._in_head:
                self.transport.write(_TOO_LARGE)
            self.transport.close()

    def on_message_begin(self) -> None:
        """Count from here: a request begins."""
        self._in_head, self._kept_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Count from here: the head is no longer the parser's."""
        self._in_head, self._kept_bytes = False, 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Count from here: the body is handed on."""
        self._kept_bytes = 0
        super().on_body(body)
