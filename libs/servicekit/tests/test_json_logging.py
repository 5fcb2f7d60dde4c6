"""Logs are one JSON object a line and carry no personal data (P7)."""

import asyncio
import gc
import logging
from collections.abc import Callable
from typing import Any

import pytest

from servicekit.json_logging import accept_request_id, bind_attempt, request_id, unbind_attempt

Logged = Callable[..., list[dict[str, Any]]]
SOMEBODY = "ada@example.com"
ATTEMPT = "0f8fad5b-d9cb-469f-a165-70867728950e"
_log = logging.getLogger("shop")


def test_a_record_is_one_line_with_its_extras(logged: Logged) -> None:
    """Line breaks stay inside the object; outside a request no request is named, nor an earlier attempt."""
    bind_attempt(ATTEMPT)
    unbind_attempt()

    _log.warning("one\ntwo %s", "three", extra={"ms": 1.5, "kind": logging.Logger})

    (line,) = logged()
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "warning",
        "service": "echo",
        "logger": "shop",
        "message": "one\ntwo three",
        "ms": 1.5,
        "kind": "<class 'logging.Logger'>",
    }


def test_a_line_has_its_request_and_eight_characters_of_the_attempt(logged: Logged) -> None:
    """The whole attempt id is a capability; an extra replaces none of these fields."""
    accept_request_id("r-1")
    bind_attempt(ATTEMPT)

    _log.info("saved", extra={"service": "other", "request_id": "r-2", "attempt": ATTEMPT})

    (line,) = logged()
    assert (line["service"], line["request_id"], line["attempt"]) == ("echo", "r-1", "0f8fad5b")


@pytest.mark.parametrize("offered", ["r-1", "A.b_c-9", "x" * 64])
def test_a_well_formed_request_id_is_kept(offered: str) -> None:
    """The caller's id joins the logs of both services."""
    accepted = accept_request_id(offered)

    assert accepted == offered == request_id.get()


@pytest.mark.parametrize("offered", [None, "", "x" * 65, "two words", "line\n", 'r-1", "level": "error', SOMEBODY])
def test_a_malformed_request_id_is_replaced(offered: str | None) -> None:
    """A header cannot write into the log."""
    accepted = accept_request_id(offered)

    assert accepted != offered
    assert len(accepted) == 32
    assert accepted == request_id.get()


def test_p7_an_exception_is_described_by_types_and_frames(logged: Logged) -> None:
    """Its message may quote a buyer, and so may its cause's."""
    try:
        _fail_because_of_another()
    except RuntimeError:
        _log.exception("failed")

    (line,) = logged()
    assert [link["type"] for link in line["exception"]] == ["RuntimeError", "ValueError"]
    assert line["exception"][0]["frames"][-1].endswith(" _fail_because_of_another")
    assert SOMEBODY not in str(line)


def test_a_group_names_its_members(logged: Logged) -> None:
    """The group's own type says nothing."""
    _log.error("failed", exc_info=ExceptionGroup("tasks", [ValueError(SOMEBODY), KeyError(SOMEBODY)]))

    (line,) = logged()
    assert line["exception"][0]["type"] == "ExceptionGroup"
    assert [member[0]["type"] for member in line["exception"][0]["members"]] == ["ValueError", "KeyError"]
    assert SOMEBODY not in str(line)


def test_exceptions_that_cause_each_other_are_listed_once(logged: Logged) -> None:
    """A circle does not hang the logger."""
    first, second = ValueError(), KeyError()
    first.__cause__, second.__cause__ = second, first

    _log.error("failed", exc_info=first)

    (line,) = logged()
    assert [link["type"] for link in line["exception"]] == ["ValueError", "KeyError"]


async def test_p7_the_failure_of_a_task_is_not_quoted(logged: Logged) -> None:
    """When asyncio reports a task that nobody awaited, its further lines quote the exception."""
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
