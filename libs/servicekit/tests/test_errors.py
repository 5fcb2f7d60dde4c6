"""Error table: an exception becomes an answer, through a real server and channel, and an exception again."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from google.rpc import status_pb2

from servicekit.errors import DETAILS_KEY, ErrorAnswer, ErrorTable, ReportedError, answer_for, read_error, to_status
from servicekit.grpc_client import RpcClient, UnexpectedAnswer, open_channel
from servicekit.grpc_server import GrpcServer
from servicekit.unavailable import ServiceUnavailable
from servicekit.violations import FieldViolation, InvalidRequest

Serve = Callable[..., AbstractAsyncContextManager[GrpcServer]]
SayTo = Callable[..., AbstractAsyncContextManager[Any]]
Logged = Callable[..., list[dict[str, Any]]]
Failing = Callable[[Exception], AbstractAsyncContextManager[Any]]
SOMEBODY = "ada@example.com"


class WordUnknown(Exception):
    """The service has no such word."""


class WordForgotten(WordUnknown):
    """The service had the word once."""


class NoSuchWord(Exception):
    """The caller's own exception."""


UNKNOWN = ErrorAnswer(grpc.StatusCode.NOT_FOUND, "word_unknown")
INVALID = ErrorAnswer(grpc.StatusCode.INVALID_ARGUMENT, "invalid_request")
ERRORS: ErrorTable = {
    WordUnknown: UNKNOWN,
    BlockingIOError: ErrorAnswer(grpc.StatusCode.ABORTED, "busy"),
    BufferError: ErrorAnswer(grpc.StatusCode.RESOURCE_EXHAUSTED, "too_much"),
}
CLIENT = RpcClient("echo", {"word_unknown": NoSuchWord}, timeout_seconds=5)


class TooMuch(InvalidRequest):
    """Bad input with a row of its own."""


@pytest.mark.parametrize(
    ("failure", "table", "answer"),
    [
        (WordForgotten(), ERRORS, UNKNOWN),
        (KeyError(), ERRORS, None),
        (InvalidRequest([]), {Exception: UNKNOWN}, INVALID),
        (TooMuch([]), {TooMuch: UNKNOWN}, UNKNOWN),
    ],
)
def test_the_nearest_ancestor_answers(failure: Exception, table: ErrorTable, answer: ErrorAnswer | None) -> None:
    """Bad input needs no row; an exception in no row has no answer."""
    assert answer_for(failure, table) == answer


@pytest.mark.parametrize("details", [None, b"\xff\xff not a status"])
def test_an_answer_without_details_has_no_reason(details: bytes | None) -> None:
    """GRPC itself answered, or a proxy between the services."""
    assert read_error(_failure(details)) == ReportedError(grpc.StatusCode.NOT_FOUND, "")


def test_unknown_details_are_skipped() -> None:
    """A newer service may say more than this version reads. An exception without a message says its reason."""
    status = status_pb2.Status()
    status.details.add().Pack(status_pb2.Status(message="more"))
    known = to_status(WordUnknown(), UNKNOWN, "echo")
    status.details.extend(known.details)

    assert known.message == "word_unknown"
    assert read_error(_failure(status.SerializeToString())).reason == "word_unknown"


def _failure(details: bytes | None) -> grpc.aio.AioRpcError:
    trailing = grpc.aio.Metadata(("other", "x"), *([(DETAILS_KEY, details)] if details else []))
    return grpc.aio.AioRpcError(grpc.StatusCode.NOT_FOUND, grpc.aio.Metadata(), trailing)


@pytest.fixture
def failing_with(serve: Serve, say_to: SayTo) -> Failing:
    """Return a context with a method that raises an exception."""

    @asynccontextmanager
    async def failing(failure: Exception) -> AsyncIterator[Any]:
        async def fail(_request: StringValue, _context: Any) -> StringValue:
            raise failure

        async with serve(fail, errors=ERRORS) as server, say_to(server.port) as say:
            yield say

    return failing


FOUND = (FieldViolation("value", "must be a word"), FieldViolation("tone", "is required"))


@pytest.mark.parametrize(
    ("failure", "reported", "message"),
    [
        (WordForgotten("no such word"), ReportedError(UNKNOWN.code, "word_unknown"), "no such word"),
        (InvalidRequest(FOUND), ReportedError(INVALID.code, "invalid_request", FOUND), None),
        (NotImplementedError("left out"), ReportedError(grpc.StatusCode.UNIMPLEMENTED, "unimplemented"), None),
        (WordUnknown("ü" * 10_000), ReportedError(UNKNOWN.code, "word_unknown"), "ü" * 200 + "..."),
    ],
)
async def test_an_exception_is_a_status_with_its_reason(
    failing_with: Failing, logged: Logged, failure: Exception, reported: ReportedError, message: str | None
) -> None:
    """Code, message, reason and violations arrive, and the access log has the only line."""
    async with failing_with(failure) as say:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await say(StringValue())

    (line,) = logged("access")
    assert read_error(caught.value) == reported
    assert caught.value.details() == (message or str(failure))
    assert (line["code"], line["reason"]) == (reported.code.name, reported.reason)
    assert {entry["level"] for entry in logged()} == {"info"}


async def test_p7_an_unexpected_exception_is_internal_without_detail(failing_with: Failing, logged: Logged) -> None:
    """Neither its message nor its type leaves the service; the log has type, frames and request."""
    async with failing_with(ValueError(SOMEBODY)) as say:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await say(StringValue(), metadata=(("x-request-id", "r-1"),))

    answer = f"{caught.value.details()} {caught.value.trailing_metadata()}"
    (line,) = [line for line in logged("servicekit") if line["message"] == "unexpected failure"]
    assert read_error(caught.value) == ReportedError(grpc.StatusCode.INTERNAL, "internal")
    assert caught.value.details() == "internal error"
    assert "r-1" in answer
    assert "ValueError" not in answer
    assert (line["request_id"], line["exception"][0]["type"]) == ("r-1", "ValueError")
    assert line["exception"][0]["frames"][-1].endswith(" fail")
    assert SOMEBODY not in f"{answer} {logged()}"


@pytest.mark.parametrize(
    "request_bytes",
    [b"\xff", b"\x0a", b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x03\xed\xa0\x80"],
    ids=["tag", "cut", "length", "utf-8"],
)
async def test_a_malformed_message_is_the_callers_fault(request_bytes: bytes, serve: Serve, logged: Logged) -> None:
    """It is INVALID_ARGUMENT with a reason, and no exception in the log."""

    async def unreached(_request: StringValue, _context: Any) -> StringValue:
        raise AssertionError

    async with serve(unreached) as server, open_channel(f"127.0.0.1:{server.port}") as channel:
        say: Any = channel.unary_unary("/test.Echo/Say")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await say(request_bytes)

    assert read_error(caught.value) == ReportedError(grpc.StatusCode.INVALID_ARGUMENT, "malformed_message")
    assert [line for line in logged() if "exception" in line] == []


async def test_a_client_raises_the_exception_of_the_reason(failing_with: Failing) -> None:
    """The failed call is its cause."""
    async with failing_with(WordForgotten("no such word")) as say:
        with pytest.raises(NoSuchWord) as caught:
            await CLIENT.call(say, StringValue())

    assert isinstance(caught.value.__cause__, grpc.aio.AioRpcError)


async def test_violations_are_sent_as_far_as_they_fit(failing_with: Failing) -> None:
    """Trailing metadata is limited: the first violations arrive, in an answer that can be read."""
    found = [FieldViolation(f"lines[{number}].quantity", f"must be small {'é' * 30}") for number in range(1000)]
    async with failing_with(InvalidRequest(found)) as say:
        with pytest.raises(InvalidRequest) as caught:
            await CLIENT.call(say, StringValue())

    received = caught.value.violations
    assert 10 < len(received) < 1000
    assert list(received) == found[: len(received)]


@pytest.mark.parametrize(
    ("failure", "expected", "message"),
    [
        (BlockingIOError(), ServiceUnavailable, "echo is unavailable"),
        (BufferError(), UnexpectedAnswer, "echo answered RESOURCE_EXHAUSTED too_much"),
        (KeyError(), UnexpectedAnswer, "echo answered INTERNAL internal"),
    ],
)
async def test_errors_that_the_client_does_not_name(
    failing_with: Failing, failure: Exception, expected: type[Exception], message: str
) -> None:
    """A transient code is ServiceUnavailable, any other is described by code and reason alone."""
    async with failing_with(failure) as say:
        with pytest.raises(expected, match=f"^{message}$"):
            await CLIENT.call(say, StringValue())


async def test_an_unknown_method_is_unexpected(serve: Serve) -> None:
    """GRPC's own answers carry no reason."""
    async with serve(None) as server, open_channel(f"127.0.0.1:{server.port}") as channel:
        sing = channel.unary_unary("/test.Echo/Sing", StringValue.SerializeToString, StringValue.FromString)

        with pytest.raises(UnexpectedAnswer, match=r"^echo answered UNIMPLEMENTED$"):
            await CLIENT.call(sing, StringValue())
