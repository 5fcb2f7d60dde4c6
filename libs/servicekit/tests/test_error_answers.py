"""What a domain exception becomes on its way through a real server and a real channel."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from servicekit.errors import ErrorAnswer, ErrorTable, ReportedError, read_error
from servicekit.grpc_client import RpcClient, ServiceUnavailable, UnexpectedAnswer, open_channel
from servicekit.grpc_server import GrpcServer
from servicekit.violations import FieldViolation, InvalidRequest

Serve = Callable[..., AbstractAsyncContextManager[GrpcServer]]
SayTo = Callable[..., AbstractAsyncContextManager[Any]]
Logged = Callable[..., list[dict[str, Any]]]
Failing = Callable[[Exception], AbstractAsyncContextManager[Any]]
SOMEBODY = "ada@example.com"


class WordUnknown(Exception):
    """The service has no such word."""


class WordForgotten(WordUnknown):
    """It had the word once."""


class NoSuchWord(Exception):
    """What the caller calls it."""


ERRORS: ErrorTable = {
    WordUnknown: ErrorAnswer(grpc.StatusCode.NOT_FOUND, "word_unknown"),
    BlockingIOError: ErrorAnswer(grpc.StatusCode.ABORTED, "busy"),
    BufferError: ErrorAnswer(grpc.StatusCode.RESOURCE_EXHAUSTED, "too_much"),
}
CALLER = RpcClient("echo", {"word_unknown": NoSuchWord}, timeout_seconds=5)


@pytest.fixture
def failing_with(serve: Serve, say_to: SayTo) -> Failing:
    """Give a context with a method that fails in one way."""

    @asynccontextmanager
    async def failing(failure: Exception) -> AsyncIterator[Any]:
        async def fail(_request: StringValue, _context: Any) -> StringValue:
            raise failure

        async with serve(fail, errors=ERRORS) as server, say_to(server.port) as say:
            yield say

    return failing


async def test_a_domain_exception_is_a_status_with_its_reason(failing_with: Failing) -> None:
    """A subclass answers by its parent's row; code, message and reason arrive."""
    async with failing_with(WordForgotten("no such word")) as say:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await say(StringValue())

    assert caught.value.details() == "no such word"
    assert read_error(caught.value) == ReportedError(grpc.StatusCode.NOT_FOUND, "word_unknown")


async def test_bad_input_names_its_fields(failing_with: Failing) -> None:
    """Violations arrive as BadRequest, field by field."""
    found = (FieldViolation("value", "must be a word"), FieldViolation("tone", "is required"))
    async with failing_with(InvalidRequest(found)) as say:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await say(StringValue())

    expected = ReportedError(grpc.StatusCode.INVALID_ARGUMENT, "invalid_request", found)
    assert read_error(caught.value) == expected


async def test_more_faults_than_an_answer_holds_are_cut(failing_with: Failing) -> None:
    """Trailing metadata is limited: better the first faults than an answer that cannot be read."""
    found = [FieldViolation(f"lines[{number}].quantity", f"must be small {'é' * 30}") for number in range(1000)]
    async with failing_with(InvalidRequest(found)) as say:
        with pytest.raises(InvalidRequest) as caught:
            await CALLER.call(say, StringValue())

    told = caught.value.violations
    assert 10 < len(told) < 1000
    assert list(told) == found[: len(told)]


async def test_a_long_message_does_not_hide_the_reason(failing_with: Failing) -> None:
    """The reason arrives whatever the exception had to say."""
    async with failing_with(WordUnknown("ü" * 10_000)) as say:
        with pytest.raises(NoSuchWord):
            await CALLER.call(say, StringValue())


@pytest.mark.parametrize(
    "sent",
    [b"\xff", b"\x0a", b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x03\xed\xa0\x80"],
    ids=["tag", "cut", "length", "utf-8"],
)
async def test_bytes_that_are_no_message_are_the_callers_fault(sent: bytes, serve: Serve, logged: Logged) -> None:
    """What cannot be read is INVALID_ARGUMENT with a reason, and no exception in the log."""

    async def unreached(_request: StringValue, _context: Any) -> StringValue:
        raise AssertionError

    async with serve(unreached) as server, open_channel(f"127.0.0.1:{server.port}") as channel:
        say: Any = channel.unary_unary("/test.Echo/Say")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await say(sent)

    assert read_error(caught.value) == ReportedError(grpc.StatusCode.INVALID_ARGUMENT, "malformed_message")
    assert [line for line in logged() if "exception" in line] == []


async def test_the_unknown_is_internal_without_detail(failing_with: Failing) -> None:
    """Neither message nor type of an unexpected exception leaves the service (P7)."""
    async with failing_with(ValueError(SOMEBODY)) as say:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await say(StringValue(), metadata=(("x-request-id", "r-1"),))

    told = f"{caught.value.details()} {caught.value.trailing_metadata()}"
    assert read_error(caught.value) == ReportedError(grpc.StatusCode.INTERNAL, "internal")
    assert caught.value.details() == "internal error"
    assert "r-1" in told
    assert SOMEBODY not in told
    assert "ValueError" not in told


async def test_the_unknown_is_logged_where_it_happened(failing_with: Failing, logged: Logged) -> None:
    """The log has type, frames and request, so that the answer need not."""
    async with failing_with(ValueError(SOMEBODY)) as say:
        with pytest.raises(grpc.aio.AioRpcError):
            await say(StringValue(), metadata=(("x-request-id", "r-1"),))

    (line,) = [line for line in logged("servicekit") if line["message"] == "unexpected failure"]
    assert line["request_id"] == "r-1"
    assert line["exception"][0]["type"] == "ValueError"
    assert line["exception"][0]["frames"][-1].endswith(" fail")
    assert SOMEBODY not in str(logged())


async def test_an_expected_failure_is_no_alarm(failing_with: Failing, logged: Logged) -> None:
    """What the table names is a line of the access log and nothing more."""
    async with failing_with(WordUnknown()) as say:
        with pytest.raises(grpc.aio.AioRpcError):
            await say(StringValue())

    (line,) = logged("access")
    assert (line["code"], line["reason"]) == ("NOT_FOUND", "word_unknown")
    assert {entry["level"] for entry in logged()} == {"info"}


async def test_an_rpc_left_out_is_unimplemented(failing_with: Failing) -> None:
    """What generated code raises for it is no failure of the service."""
    async with failing_with(NotImplementedError("Method not implemented!")) as say:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await say(StringValue())

    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_caller_raises_what_the_reason_names(failing_with: Failing) -> None:
    """The exception is the caller's own; the failed call is its cause."""
    async with failing_with(WordForgotten("no such word")) as say:
        with pytest.raises(NoSuchWord) as caught:
            await CALLER.call(say, StringValue())

    assert isinstance(caught.value.__cause__, grpc.aio.AioRpcError)


async def test_a_caller_raises_invalid_request_with_its_fields(failing_with: Failing) -> None:
    """Bad input is the same exception on both sides."""
    found = (FieldViolation("value", "must be a word"),)
    async with failing_with(InvalidRequest(found)) as say:
        with pytest.raises(InvalidRequest) as caught:
            await CALLER.call(say, StringValue())

    assert caught.value.violations == found


async def test_what_may_pass_is_unavailable(failing_with: Failing) -> None:
    """A lost race that the contract does not name may be won by the same call later."""
    async with failing_with(BlockingIOError()) as say:
        with pytest.raises(ServiceUnavailable, match=r"^echo is unavailable$"):
            await CALLER.call(say, StringValue())


@pytest.mark.parametrize(
    ("failure", "said"),
    [(BufferError(), "echo answered RESOURCE_EXHAUSTED too_much"), (KeyError(), "echo answered INTERNAL internal")],
)
async def test_the_rest_is_unexpected(failing_with: Failing, failure: Exception, said: str) -> None:
    """An error that nobody named is told by code and reason alone."""
    async with failing_with(failure) as say:
        with pytest.raises(UnexpectedAnswer, match=f"^{said}$") as caught:
            await CALLER.call(say, StringValue())

    assert caught.value.error.code.name in said


async def test_a_method_that_is_not_there_is_unexpected(serve: Serve) -> None:
    """What gRPC answers by itself carries no reason."""
    async with serve(None) as server, open_channel(f"127.0.0.1:{server.port}") as channel:
        sing = channel.unary_unary("/test.Echo/Sing", StringValue.SerializeToString, StringValue.FromString)

        with pytest.raises(UnexpectedAnswer, match=r"^echo answered UNIMPLEMENTED$"):
            await CALLER.call(sing, StringValue())
