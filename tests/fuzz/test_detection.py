"""Findings are detected: without these tests, an undetected one would look like a success."""

from pathlib import Path

import pytest
from hypothesis import strategies as st

from .checks import is_alarming, record_findings
from .fuzzed_system import Accounted
from .runs import TargetResult, run_batch, run_short
from .targets import Target


def refuse_large(value: int) -> None:
    """Fail for numbers from 100."""
    assert value < 100, "500"


LARGE = Target("large numbers", st.integers(), refuse_large, short_inputs=200)


def test_a_short_run_raises_the_finding_with_the_smallest_input() -> None:
    """The note shows the input."""
    with pytest.raises(AssertionError, match="500") as caught:
        run_short(LARGE)

    assert "input: 100" in caught.value.__notes__


def test_a_batch_adds_the_finding_and_tries_it_first_the_next_time(tmp_path: Path) -> None:
    """The finding shows the smallest input and the command that repeats it; the next batch finds it sooner."""
    first, second = TargetResult(LARGE.name), TargetResult(LARGE.name)

    run_batch(LARGE, first, seed_number=1, database=tmp_path)
    run_batch(LARGE, second, seed_number=2, database=tmp_path)

    (finding,) = first.findings
    assert all(part in finding for part in ("AssertionError: 500", "input: 100", "--target 'large numbers' --seed 1"))
    assert second.findings
    assert second.inputs < first.inputs


@pytest.mark.parametrize("kind", ["payments", "orders", "outbox", "attempt:", "closed:", "unknown key"])
def test_an_unannounced_record_is_a_finding(kind: str) -> None:
    """A record of any kind is announced by a response."""
    assert len(record_findings({}, {kind: {"x"}}, Accounted())) == 1


def test_a_missing_payment_is_a_finding() -> None:
    """An announced decision that is not stored is a lost payment."""
    accounted = Accounted(payments={"pi_1"})

    assert len(record_findings({}, {}, accounted)) == 1
    assert record_findings({}, {"payments": {"pi_1"}}, accounted) == []


@pytest.mark.parametrize(
    ("line", "alarming"),
    [
        ("Traceback (most recent call last):", True),
        ('{"logger": "servicekit", "message": "unexpected failure", "exception": [{"type": "KeyError"}]}', True),
        ("[]", True),
        ('{"logger": "payments_gateway", "message": "payment quarantined", "level": "error"}', False),
    ],
)
def test_an_exception_in_a_log_is_alarming(line: str, *, alarming: bool) -> None:
    """So is every line in another format; an expected error is not."""
    assert is_alarming(line) is alarming
