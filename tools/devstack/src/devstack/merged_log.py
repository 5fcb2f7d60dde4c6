"""One readable log of all processes, gathered from the log each of them writes."""

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, TextIO

_POLL_SECONDS = 0.1
_UNSHOWN = frozenset({"time", "level", "service", "message", "logger", "exception", "color_message"})


class MergedLog:
    """Follows the logs of named processes, writes them to one file, and to a stream from the moment it is told to."""

    def __init__(self, sources: Mapping[str, Path], merged: Path) -> None:
        self._sources = dict(sources)
        self._merged = merged
        self._width = max((len(name) for name in sources), default=0)
        self._open: dict[str, BinaryIO] = {}
        self._echo: TextIO | None = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="devstack-log", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._merged.parent.mkdir(parents=True, exist_ok=True)
        self._merged.touch()
        self._thread.start()

    def echo_to(self, stream: TextIO) -> None:
        """From now on, write every line to this stream too."""
        self._echo = stream

    def stop(self) -> None:
        """Write what is still there and end."""
        self._ending.set()
        self._thread.join()
        for file in self._open.values():
            file.close()

    def _follow(self) -> None:
        with self._merged.open("a", encoding="utf-8") as merged:
            while not self._ending.wait(_POLL_SECONDS):
                self._drain(merged)
            self._drain(merged)

    def _drain(self, merged: TextIO) -> None:
        for name, path in self._sources.items():
            for line in self._new_lines(name, path):
                text = f"{name:<{self._width}} | {readable(line)}\n"
                merged.write(text)
                if self._echo is not None:
                    self._echo.write(text)
        merged.flush()
        if self._echo is not None:
            self._echo.flush()

    def _new_lines(self, name: str, path: Path) -> list[str]:
        if name not in self._open:
            if not path.exists():
                return []
            self._open[name] = path.open("rb")
        file = self._open[name]
        lines = file.readlines()
        if lines and not lines[-1].endswith(b"\n"):
            # Half a line: its writer is not done.
            file.seek(-len(lines.pop()), 1)
        return [line.decode(errors="replace").rstrip() for line in lines]


def readable(line: str) -> str:
    """Return a JSON log line as time, level, message and name=value pairs; any other line as it is."""
    try:
        record = json.loads(line)
    except ValueError:
        return line
    if not isinstance(record, dict) or "message" not in record:
        return line
    clock = str(record.get("time", ""))[11:23]
    pairs = [f"{name}={value}" for name, value in record.items() if name not in _UNSHOWN]
    words = [clock, f"{record.get('level', ''):<7}", str(record["message"]), *pairs, *_causes(record)]
    return " ".join(word for word in words if word)


def _causes(record: Mapping[str, Any]) -> list[str]:
    causes = record.get("exception")
    if not isinstance(causes, list):
        return []
    return [f"<- {cause.get('type')} at {(cause.get('frames') or ['?'])[-1]}" for cause in causes]
