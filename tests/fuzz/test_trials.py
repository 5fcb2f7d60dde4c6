"""The hunter itself: what it would let pass, it would let pass silently."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .hostile import Pairs, Token, mutated, write_json
from .messages import filled, mutated_message
from .records import Promised, Stored, unaccounted
from .samples import REQUESTS, succeeded_event
from .targets import Target
from .trials import Tally, run_batch, run_short
from .watch import is_alarming

NOTHING = Stored(*[frozenset()] * 6)
FEW = settings(max_examples=25, database=None, deadline=None, suppress_health_check=list(HealthCheck))


def refuse_large(value: int) -> None:
    """Stand for an edge that stumbles over numbers from a hundred on."""
    assert value < 100, "500"


LARGE = Target("large numbers", st.integers(), refuse_large, short=200)


def test_a_short_run_raises_the_finding() -> None:
    """The smallest input that leads to it is shown."""
    with pytest.raises(AssertionError, match="500") as caught:
        run_short(LARGE)

    assert "input: 100" in caught.value.__notes__


def test_a_batch_notes_the_finding_and_how_to_see_it_again(tmp_path: Path) -> None:
    """With the input; and the same input is tried first the next time, whatever the seed."""
    first, second = Tally(LARGE.name), Tally(LARGE.name)

    run_batch(LARGE, first, number=1, database=tmp_path)
    run_batch(LARGE, second, number=2, database=tmp_path)

    assert [(finding.startswith("AssertionError: 500"), "input: 100" in finding) for finding in first.findings] == [
        (True, True)
    ]
    assert second.findings
    assert second.inputs < first.inputs


def test_a_batch_without_finding_counts_its_inputs(tmp_path: Path) -> None:
    """Every input that was sent, and the time it took."""
    harmless = dataclasses.replace(LARGE, send=lambda _: None)
    tally = Tally(harmless.name)

    run_batch(harmless, tally, number=1, database=tmp_path)

    assert (tally.findings, tally.inputs) == ([], 200)
    assert tally.seconds > 0


@pytest.mark.parametrize("kind", ["payments", "orders", "announced", "attempts", "markers", "foreign_keys"])
def test_a_record_that_nobody_was_told_of_is_a_finding(kind: str) -> None:
    """Of whatever kind."""
    more: dict[str, Any] = {kind: frozenset({"x"})}

    assert len(unaccounted(NOTHING, dataclasses.replace(NOTHING, **more), Promised())) == 1


def test_a_promised_record_must_be_there() -> None:
    """A decision that was answered and is not stored is a lost payment."""
    promised = Promised(payments={"pi_1"})

    assert len(unaccounted(NOTHING, NOTHING, promised)) == 1
    assert unaccounted(NOTHING, dataclasses.replace(NOTHING, payments=frozenset({"pi_1"})), promised) == []


@pytest.mark.parametrize(
    ("line", "alarming"),
    [
        ("Traceback (most recent call last):", True),
        ('{"logger": "servicekit", "message": "unexpected failure", "exception": [{"type": "KeyError"}]}', True),
        ('{"logger": "aiohttp.server", "message": "Error", "exception": "Traceback ... KeyError"}', True),
        ('{"logger": "aiohttp.server", "message": "Error", "exception": "aiohttp.http_exceptions.LineTooLong"}', False),
        ("[]", True),
        ('{"logger": "payments_gateway", "message": "payment quarantined", "level": "error"}', False),
    ],
)
def test_an_exception_in_a_log_is_alarming(line: str, alarming: bool) -> None:  # noqa: FBT001 - a table's column
    """So is whatever is not one of our lines; an error that we foresaw is not."""
    assert is_alarming(line) is alarming


@pytest.mark.parametrize("sample", REQUESTS, ids=lambda sample: sample.DESCRIPTOR.name)
def test_every_message_can_be_made(sample: Message) -> None:
    """Whatever is drawn is a message that can be sent."""
    descriptor: Any = sample.DESCRIPTOR

    @FEW
    @given(filled(descriptor), mutated_message(sample))
    def sendable(made: Message, spoiled: Message) -> None:
        assert type(sample).FromString(made.SerializeToString()) is not None
        assert type(sample).FromString(spoiled.SerializeToString()) is not None

    sendable()


@FEW
@given(mutated(succeeded_event("attempt", "pi_1")))
def test_spoiled_json_can_be_written(tree: Any) -> None:
    """Lone surrogates too: as escapes, so that the bytes are UTF-8."""
    assert write_json(tree).encode()


def test_json_is_written_with_what_no_writer_would_write() -> None:
    """Repeated keys and tokens that are no JSON stay as they are."""
    assert write_json(Pairs([("a", 1), ("a", Token("1e999"))])) == '{"a":1,"a":1e999}'
