"""A log is one JSON object a line, and carries nobody's data (P7)."""

import asyncio
import gc
import logging
from collections.abc import Callable
from typing import Any

import pytest

from servicekit.json_logging import accept_request_id, bind_attempt, forget_attempt, request_id

Logged = Callable[..., list[dict[str, Any]]]
SOMEBODY = "ada@example.com"
_log = logging.getLogger("shop")


def test_a_record_is_one_line(logged: Logged) -> None:
    """Line breaks in a message stay inside the object."""
    _log.warning("one\ntwo %s", "three")

    (line,) = logged()
    assert line["message"] == "one\ntwo three"
    assert (line["level"], line["service"], line["logger"]) == ("warning", "echo", "shop")
    assert line["time"].endswith("Z")


def test_extras_are_fields(logged: Logged) -> None:
    """What a caller adds stands beside the message, whatever its type."""
    _log.info("done", extra={"ms": 1.5, "kind": logging.Logger})

    (line,) = logged()
    assert line["ms"] == 1.5
    assert line["kind"] == "<class 'logging.Logger'>"


def test_an_extra_does_not_replace_what_a_line_says(logged: Logged) -> None:
    """Service, time, request and attempt are the line's own words."""
    request_id.set("r-1")
    bind_attempt("0123456789")

    _log.info("done", extra={"service": "other", "request_id": "r-2", "attempt": "0123456789"})

    (line,) = logged()
    assert (line["service"], line["request_id"], line["attempt"]) == ("echo", "r-1", "01234567")


def test_a_line_names_its_request_and_eight_characters_of_the_attempt(logged: Logged) -> None:
    """The whole attempt id is a capability and stays out."""
    accept_request_id("r-1")
    bind_attempt("0f8fad5b-d9cb-469f-a165-70867728950e")

    _log.info("saved")

    (line,) = logged()
    assert line["request_id"] == "r-1"
    assert line["attempt"] == "0f8fad5b"


def test_outside_a_request_nothing_is_named(logged: Logged) -> None:
    """No empty fields, and none of an earlier request's."""
    bind_attempt("0f8fad5b-d9cb-469f-a165-70867728950e")
    forget_attempt()

    _log.info("idle")

    (line,) = logged()
    assert not line.keys() & {"request_id", "attempt", "exception"}


@pytest.mark.parametrize("offered", ["r-1", "A.b_c-9", "x" * 64])
def test_a_well_formed_request_id_is_kept(offered: str) -> None:
    """The caller's id joins the logs of both services."""
    accepted = accept_request_id(offered)

    assert accepted == offered == request_id.get()


@pytest.mark.parametrize("offered", [None, "", "x" * 65, "two words", "line\n", 'quote"', SOMEBODY])
def test_a_malformed_request_id_is_replaced(offered: str | None) -> None:
    """Nobody writes into our logs through a header."""
    accepted = accept_request_id(offered)

    assert accepted != offered
    assert len(accepted) == 32
    assert accepted == request_id.get()


def test_an_exception_is_told_by_types_and_frames(logged: Logged) -> None:
    """Its message may quote a buyer, and so may its cause's."""
    try:
        _fail_because_of_another()
    except RuntimeError:
        _log.exception("failed")

    (line,) = logged()
    assert [link["type"] for link in line["exception"]] == ["RuntimeError", "ValueError"]
    assert line["exception"][0]["frames"][-1].endswith(" _fail_because_of_another")
    assert SOMEBODY not in str(line)


def test_a_group_tells_its_members(logged: Logged) -> None:
    """A task group's failure would say nothing by itself."""
    _log.error("failed", exc_info=ExceptionGroup("tasks", [ValueError(SOMEBODY), KeyError(SOMEBODY)]))

    (line,) = logged()
    assert line["exception"][0]["type"] == "ExceptionGroup"
    assert [member[0]["type"] for member in line["exception"][0]["members"]] == ["ValueError", "KeyError"]
    assert SOMEBODY not in str(line)


def test_exceptions_that_cause_each_other_are_told_once(logged: Logged) -> None:
    """A circle does not hang the logger."""
    first, second = ValueError(), KeyError()
    first.__cause__, second.__cause__ = second, first

    _log.error("failed", exc_info=first)

    (line,) = logged()
    assert [link["type"] for link in line["exception"]] == ["ValueError", "KeyError"]


async def test_a_forgotten_task_s_failure_is_not_quoted(logged: Logged) -> None:
    """When asyncio reports a failure that nobody awaited, its further lines show the exception's text."""
    task = asyncio.create_task(_fail())
    await asyncio.wait([task])

    del task
    gc.collect()

    (line,) = logged("asyncio")
    assert line["message"] == "Task exception was never retrieved"
    assert line["exception"][0]["type"] == "ValueError"
    assert SOMEBODY not in str(line)


async def _fail() -> None:
    raise ValueError(SOMEBODY)


def _fail_because_of_another() -> None:
    try:
        int(SOMEBODY)
    except ValueError as cause:
        raise RuntimeError(SOMEBODY) from cause
