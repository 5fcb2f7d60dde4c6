"""One table turns an exception into an answer, and one function reads the answer back."""

import grpc
import pytest
from google.rpc import status_pb2

from servicekit.errors import (
    DETAILS_KEY,
    INVALID_REQUEST_REASON,
    ErrorAnswer,
    ErrorTable,
    ReportedError,
    answer_for,
    read_error,
    to_status,
)
from servicekit.violations import FieldViolation, InvalidRequest, raise_if_invalid

AWAY = ErrorAnswer(grpc.StatusCode.UNAVAILABLE, "away")
LOST = ErrorAnswer(grpc.StatusCode.NOT_FOUND, "lost")
TABLE: ErrorTable = {OSError: AWAY, FileNotFoundError: LOST}


@pytest.mark.parametrize(
    ("failure", "answer"), [(FileNotFoundError(), LOST), (TimeoutError(), AWAY), (OSError(), AWAY), (KeyError(), None)]
)
def test_the_nearest_ancestor_answers(failure: Exception, answer: ErrorAnswer | None) -> None:
    """A subclass without a row takes its parent's; what is in no row has no answer."""
    assert answer_for(failure, TABLE) == answer


def test_bad_input_needs_no_row() -> None:
    """InvalidRequest answers INVALID_ARGUMENT at every edge."""
    answer = answer_for(InvalidRequest([]), TABLE)

    assert answer == ErrorAnswer(grpc.StatusCode.INVALID_ARGUMENT, INVALID_REQUEST_REASON)


def test_a_row_of_its_own_beats_the_default() -> None:
    """A kind of bad input may be given another answer."""

    class TooMuch(InvalidRequest):
        pass

    answer = answer_for(TooMuch([]), {TooMuch: LOST, Exception: AWAY})

    assert answer == LOST


def test_bad_input_is_nearer_than_a_catch_all() -> None:
    """A row for every exception does not hide what was wrong with the fields."""
    answer = answer_for(InvalidRequest([]), {Exception: AWAY})

    assert answer is not None
    assert answer.code is grpc.StatusCode.INVALID_ARGUMENT


def test_a_status_reads_back() -> None:
    """Reason and violations come off the wire as they went on."""
    found = (FieldViolation("lines[3].quantity", "must be positive"), FieldViolation("name", "is required"))
    answer = ErrorAnswer(grpc.StatusCode.INVALID_ARGUMENT, "invalid_request")

    status = to_status(InvalidRequest(found), answer, "echo")

    assert read_error(_failed(status.SerializeToString())) == ReportedError(answer.code, "invalid_request", found)


def test_a_status_without_words_says_its_reason() -> None:
    """An exception without a message still explains itself."""
    status = to_status(FileNotFoundError(), LOST, "echo")

    assert (status.code, status.message) == (grpc.StatusCode.NOT_FOUND.value[0], "lost")


@pytest.mark.parametrize("details", [None, b"\xff\xff not a status"])
def test_an_answer_without_details_has_no_reason(details: bytes | None) -> None:
    """Either gRPC itself answered, or something between the services."""
    error = read_error(_failed(details))

    assert error == ReportedError(grpc.StatusCode.INVALID_ARGUMENT, "")


def test_details_of_another_kind_are_passed_over() -> None:
    """A newer service may say more than we read."""
    status = status_pb2.Status()
    status.details.add().Pack(status_pb2.Status(message="more"))
    status.details.extend(to_status(FileNotFoundError(), LOST, "echo").details)

    error = read_error(_failed(status.SerializeToString()))

    assert error.reason == "lost"


def test_refusing_nothing_goes_on() -> None:
    """No violation, no exception."""
    raise_if_invalid(iter(()))


def test_a_refusal_says_each_field() -> None:
    """The message reads as a sentence a field."""
    with pytest.raises(InvalidRequest, match=r"^a must be set; b is too long$"):
        raise_if_invalid([FieldViolation("a", "must be set"), FieldViolation("b", "is too long")])


def _failed(details: bytes | None) -> grpc.aio.AioRpcError:
    trailing = grpc.aio.Metadata(("other", "x"), *([(DETAILS_KEY, details)] if details else []))
    return grpc.aio.AioRpcError(grpc.StatusCode.INVALID_ARGUMENT, grpc.aio.Metadata(), trailing)
