"""A TCP proxy that cuts connections, delays their bytes or stops passing them on."""

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Final, Self

from devstack.ports import LOOPBACK
from tests.e2e.harness.closing import AsyncClosing

_CHUNK_BYTES: Final = 64 * 1024
_RESET: Final = struct.pack("ii", 1, 0)
"""Linger for no time: the peer sees a reset instead of an orderly end."""


class TcpProxy(AsyncClosing):
    """Forwards connections to a target, host:port."""

    def __init__(self, target: str, *, host: str = LOOPBACK) -> None:
        self.delay_seconds = 0.0
        """Delay of every chunk of bytes."""
        self.delayed = 0
        """Chunks that were delayed, or held while silent."""
        self._target_host, _, port = target.rpartition(":")
        self._target_port = int(port)
        self._host = host
        self._open: set[asyncio.StreamWriter] = set()
        self._passing = asyncio.Event()
        self._passing.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.address = ""

    async def __aenter__(self) -> Self:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, self._host, 0)
        self.address = f"{self._host}:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def close(self) -> None:
        """Break every connection and stop listening."""
        self.speak()
        self.cut()
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> int:
        """Break every connection with what is in flight; return their number."""
        writers = [writer for writer in self._open if not writer.is_closing()]
        for writer in writers:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()
        return len(writers) // 2

    def fall_silent(self) -> None:
        """Pass nothing on from now on; connections stay open."""
        self._passing.clear()

    def speak(self) -> None:
        """Pass everything on that was held."""
        self._passing.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        with suppress(OSError, asyncio.CancelledError):
            upstream_reader, upstream = await asyncio.open_connection(self._target_host, self._target_port)
            self._open |= {writer, upstream}
            try:
                await asyncio.gather(self._pipe(reader, upstream), self._pipe(upstream_reader, writer))
            finally:
                self._open -= {writer, upstream}
                upstream.transport.abort()
        writer.transport.abort()

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(_CHUNK_BYTES):
                if self.delay_seconds or not self._passing.is_set():
                    self.delayed += 1
                    await asyncio.sleep(self.delay_seconds)
                    await self._passing.wait()
                writer.write(chunk)
                await writer.drain()
            writer.write_eof()
