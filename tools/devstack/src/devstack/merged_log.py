"""Merger of the processes' logs into one readable log."""

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, TextIO

_POLL_SECONDS = 0.1
_OMITTED = frozenset({"time", "level", "service", "message", "logger", "exception", "color_message"})


class MergedLog:
    """Follows the logs of named processes and writes them to one file, and on request to a stream."""

    def __init__(self, sources: Mapping[str, Path], merged: Path) -> None:
        self._sources = dict(sources)
        self._merged = merged
        self._width = max((len(name) for name in sources), default=0)
        self._open: dict[str, BinaryIO] = {}
        self._echo: TextIO | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="devstack-log", daemon=True)

    def start(self) -> None:
        """Start following."""
        self._merged.parent.mkdir(parents=True, exist_ok=True)
        self._merged.touch()
        self._thread.start()

    def echo_to(self, stream: TextIO) -> None:
        """Write every further line to this stream too."""
        self._echo = stream

    def stop(self) -> None:
        """Write the remaining lines and stop."""
        self._stopping.set()
        self._thread.join()
        for file in self._open.values():
            file.close()

    def _follow(self) -> None:
        with self._merged.open("a", encoding="utf-8") as merged:
            while not self._stopping.wait(_POLL_SECONDS):
                self._drain(merged)
            self._drain(merged)

    def _drain(self, merged: TextIO) -> None:
        for name, path in self._sources.items():
            for line in self._new_lines(name, path):
                text = f"{name:<{self._width}} | {formatted(line)}\n"
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
            # The writer has not finished this line.
            file.seek(-len(lines.pop()), 1)
        return [line.decode(errors="replace").rstrip() for line in lines]


def formatted(line: str) -> str:
    """Format a JSON log line as time, level, message and name=value pairs. Other lines stay as they are."""
    try:
        record = json.loads(line)
    except ValueError:
        return line
    if not isinstance(record, dict) or "message" not in record:
        return line
    clock = str(record.get("time", ""))[11:23]
    pairs = [f"{name}={value}" for name, value in record.items() if name not in _OMITTED]
    words = [clock, f"{record.get('level', ''):<7}", str(record["message"]), *pairs, *_causes(record)]
    return " ".join(word for word in words if word)


def _causes(record: Mapping[str, Any]) -> list[str]:
    causes = record.get("exception")
    if not isinstance(causes, list):
        return []
    return [f"<- {cause.get('type')} at {(cause.get('frames') or ['?'])[-1]}" for cause in causes]
