"""Logs: one JSON object a line, with the id of its request. They carry no personal data (P7)."""

import json
import logging
import re
import sys
import time
import traceback
import uuid
from collections.abc import Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Final

request_id: Final[ContextVar[str]] = ContextVar("request_id", default="")
"""Id of the request that the current task serves. Travels between services as gRPC metadata x-request-id."""

_attempt: Final[ContextVar[str]] = ContextVar("attempt", default="")
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_ATTEMPT_CHARACTERS = 8
_encode: Final = json.JSONEncoder(default=str).encode
_access_log: Final = logging.getLogger("access")


def accept_request_id(offered: str | None) -> str:
    """Set the current task's request id: the caller's if it is well formed, else a new one."""
    accepted = offered if offered and _REQUEST_ID.fullmatch(offered) else uuid.uuid4().hex
    request_id.set(accepted)
    return accepted


def bind_attempt(attempt_id: str) -> None:
    """Add the attempt to the current task's log lines, by its first characters: the whole id is a capability."""
    _attempt.set(attempt_id[:_ATTEMPT_CHARACTERS])


def unbind_attempt() -> None:
    """Stop adding an attempt to log lines: a new request begins in this task."""
    _attempt.set("")


def log_access(message: str, outcome: Mapping[str, object]) -> None:
    """Log one request with its outcome. Access lines are most lines, so they skip the search for their caller."""
    if _access_log.isEnabledFor(logging.INFO):
        record = logging.LogRecord(_access_log.name, logging.INFO, "", 0, message, None, None)
        record.__dict__.update(outcome)
        _access_log.handle(record)


def configure_logging(service: str, level: str) -> None:
    """Write every logger's lines to standard error as JSON. Call it once, at start."""
    # No line has them, and each costs as much as a field.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(service))
    logging.basicConfig(level=level, handlers=[handler], force=True)


class JsonFormatter(logging.Formatter):
    """Formats a record as JSON: time, level, service, logger, message, request, attempt and the record's extras."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service
        self._second, self._time = -1, ""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line for one record."""
        line: dict[str, Any] = {
            "time": self._time_of(record),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": _text(record),
        }
        if current := request_id.get():
            line["request_id"] = current
        if attempt := _attempt.get():
            line["attempt"] = attempt
        for name, value in record.__dict__.items():
            # An extra replaces neither the request, nor the attempt, nor the time.
            if name not in _STANDARD and name not in line:
                line[name] = value
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = _describe(record.exc_info[1])
        return _encode(line)

    def _time_of(self, record: logging.LogRecord) -> str:
        second = int(record.created)
        if second != self._second:
            self._second, self._time = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._time}.{int(record.msecs):03d}Z"


def _text(record: logging.LogRecord) -> str:
    """Return the message; with an exception only its first line, because asyncio's further lines quote it (P7)."""
    text = record.getMessage()
    return text.partition("\n")[0] if record.exc_info else text


def _describe(failure: BaseException) -> list[dict[str, Any]]:
    """Describe a failure by types and frames only: messages of foreign exceptions may quote data (P7)."""
    described = []
    link: BaseException | None = failure
    seen: set[int] = set()
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        described.append(_link(link))
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return described


def _link(failure: BaseException) -> dict[str, Any]:
    link: dict[str, Any] = {"type": type(failure).__qualname__, "frames": _frames(failure.__traceback__)}
    if isinstance(failure, BaseExceptionGroup):
        link["members"] = [_describe(member) for member in failure.exceptions]
    return link


def _frames(trace: TracebackType | None) -> list[str]:
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(trace)]
