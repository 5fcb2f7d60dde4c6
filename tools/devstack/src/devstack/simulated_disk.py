"""A disk that loses what was not synced, that can be slow, and that can break: for servers whose power is cut.

Killing a server proves nothing about durability: what it wrote is in the kernel and stays. Here every fsync and
fdatasync of a server is answered by us (see sync_gate.py), and what counts as being on the disk is what each file held
when its last successful sync began. Nothing is really synced, so it is fast as well.
"""

import enum
import errno
import fcntl
import os
import secrets
import select
import socket
import stat
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from devstack import sync_gate

_RECEIVE: Final = 0xC0502100
_ANSWER: Final = 0xC0182101
_NOTICE: Final = struct.Struct("=QIIiIQ6Q")
_REPLY: Final = struct.Struct("=QqiI")
_GATE: Final = str(Path(sync_gate.__file__))

Inode = tuple[int, int]


class _Health(enum.Enum):
    SOUND = enum.auto()
    FAILING = enum.auto()
    HANGING = enum.auto()


@dataclass(frozen=True)
class _Sync:
    """A sync that a server waits for."""

    notices: int
    id: int
    inode: Inode
    size: int
    """Bytes in the file when the sync began: those, and no later ones, are on the disk when it succeeds."""
    began: float


class SimulatedDisk:
    """Answers the syncs of the servers that are started with `gated`; one disk may serve several.

    A context manager; its servers must have ended before it does.
    """

    def __init__(self, *, latency_seconds: float = 0.0) -> None:
        self.latency_seconds = latency_seconds
        """How long each sync takes."""
        self.syncs = 0
        """How many succeeded."""
        self._health = _Health.SOUND
        self._files: dict[Inode, int] = {}
        """Bytes on the disk, by file."""
        self._kept_open: dict[Inode, int] = {}
        """So that no number of a deleted file is given to a new one."""
        self._waiting: list[_Sync] = []
        self._lock = threading.RLock()
        self._address = f"holdfast-disk-{secrets.token_hex(16)}"

    def __enter__(self) -> Self:
        """Begin to answer."""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(f"\0{self._address}")
        self._listener.listen()
        self._alarm, self._bell = os.pipe()
        self._poll = select.poll()
        self._hearers: dict[int, Callable[[int], None]] = {}
        self._listen_to(self._listener.fileno(), self._meet)
        self._listen_to(self._alarm, self._wake)
        self._open = True
        self._thread = threading.Thread(target=self._work, name="simulated-disk")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop answering; a server that still waits is told that there is no such call."""
        self._open = False
        self._ring()
        self._thread.join()
        notices = [descriptor for descriptor, hearer in self._hearers.items() if hearer == self._hear]
        for descriptor in (self._alarm, self._bell, *notices, *self._kept_open.values()):
            os.close(descriptor)
        self._listener.close()

    def gated(self, command: Sequence[str]) -> list[str]:
        """Return the command that runs a program on this disk."""
        return [sys.executable, "-I", "-S", _GATE, self._address, *command]

    def fail(self) -> None:
        """Answer syncs with an input/output error, those under way too."""
        self._become(_Health.FAILING)

    def hang(self) -> None:
        """Leave syncs without an answer."""
        self._become(_Health.HANGING)

    def repair(self) -> None:
        """Let syncs succeed again, those under way too."""
        self._become(_Health.SOUND)

    def unsynced_bytes(self, folder: Path) -> int:
        """Return how many bytes of the files below a folder a power cut would take at this moment."""
        with self._lock:
            return sum(size - kept for _, size, kept in self._fates(folder))

    def lose_unsynced(self, folder: Path) -> int:
        """Cut each file below a folder to what is on the disk; return how many bytes were lost.

        No server may use these files any more. A file's name counts as being on the disk as soon as it is made.
        """
        lost = 0
        with self._lock:
            for path, size, kept in self._fates(folder):
                os.truncate(path, kept)
                lost += size - kept
        return lost

    def _fates(self, folder: Path) -> Iterator[tuple[Path, int, int]]:
        """Yield each file with its size and what of it is on the disk."""
        for path in folder.rglob("*"):
            found = path.stat()
            if stat.S_ISREG(found.st_mode):
                yield path, found.st_size, min(found.st_size, self._files.get(_inode(found), 0))

    def _become(self, health: _Health) -> None:
        with self._lock:
            self._health = health
        self._ring()

    def _ring(self) -> None:
        os.write(self._bell, b"\0")

    def _listen_to(self, descriptor: int, hearer: Callable[[int], None]) -> None:
        self._poll.register(descriptor, select.POLLIN)
        self._hearers[descriptor] = hearer

    def _work(self) -> None:
        while self._open:
            for descriptor, event in self._poll.poll(self._patience_ms()):
                # With nothing to read, the server has hung up, and on older kernels reading would never end.
                (self._hearers[descriptor] if event & select.POLLIN else self._leave)(descriptor)
            with self._lock:
                self._settle()

    def _patience_ms(self) -> float | None:
        """Milliseconds until the next sync that waits is done; None if only news can change anything."""
        if self._health is _Health.HANGING or not self._waiting:
            return None
        return 1000 * max(0.0, min(sync.began for sync in self._waiting) + self.latency_seconds - time.monotonic())

    def _meet(self, _: int) -> None:
        """Take the notices of a server that is about to start."""
        connection, _address = self._listener.accept()
        with connection:
            descriptors = socket.recv_fds(connection, 1, 1)[1]  # none if the kernel refused
        for notices in descriptors:
            self._listen_to(notices, self._hear)

    def _wake(self, alarm: int) -> None:
        os.read(alarm, 4096)

    def _hear(self, notices: int) -> None:
        notice = bytearray(_NOTICE.size)
        with suppress(OSError), self._lock:  # The server may be killed at any moment, in the middle of its call.
            fcntl.ioctl(notices, _RECEIVE, notice)
            id_, task, _flags, _call, _machine, _pointer, descriptor, *_rest = _NOTICE.unpack(notice)
            try:
                inode, size = self._examined(Path(f"/proc/{task}/fd/{descriptor}"))
            except PermissionError:  # We cannot know what it syncs, so it must not go on as if we did.
                _reply(notices, id_, errno.EACCES)
            else:
                self._waiting.append(_Sync(notices, id_, inode, size, time.monotonic()))

    def _leave(self, notices: int) -> None:
        """Forget a server that is gone, and what it still waited for."""
        with self._lock:
            self._waiting = [sync for sync in self._waiting if sync.notices != notices]
        self._poll.unregister(notices)
        del self._hearers[notices]
        os.close(notices)

    def _examined(self, path: Path) -> tuple[Inode, int]:
        descriptor = os.open(path, os.O_RDONLY)
        found = os.fstat(descriptor)
        inode = _inode(found)
        if inode in self._kept_open or not stat.S_ISREG(found.st_mode):
            os.close(descriptor)
        else:
            self._kept_open[inode] = descriptor
        return inode, found.st_size

    def _settle(self) -> None:
        """Answer every sync whose time has come."""
        now = time.monotonic()
        for sync in list(self._waiting):
            if self._health is _Health.FAILING:
                self._answer(sync, errno.EIO)
            elif self._health is _Health.SOUND and sync.began + self.latency_seconds <= now:
                # Before the answer: whoever hears of it may cut the power at once.
                self._files[sync.inode] = sync.size
                self.syncs += 1
                self._answer(sync, 0)

    def _answer(self, sync: _Sync, error: int) -> None:
        self._waiting.remove(sync)
        with suppress(FileNotFoundError):  # It was killed, or a signal makes it ask again.
            _reply(sync.notices, sync.id, error)


def _reply(notices: int, id_: int, error: int) -> None:
    fcntl.ioctl(notices, _ANSWER, _REPLY.pack(id_, 0, -error, 0))


def _inode(found: os.stat_result) -> Inode:
    return found.st_dev, found.st_ino
