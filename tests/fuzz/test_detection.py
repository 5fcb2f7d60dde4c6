"""Findings are detected: without these tests, an undetected one would look like a success."""

from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import strategies as st

from .checks import is_alarming, record_findings
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


def test_a_batch_returns_the_finding_with_the_smallest_input(tmp_path: Path) -> None:
    """The finding contains the command that repeats it."""
    result = TargetResult(LARGE.name)

    run_batch(LARGE, result, seed_number=1, database=tmp_path)

    (finding,) = result.findings
    assert all(part in finding for part in ("AssertionError: 500", "input: 100", "--target 'large numbers' --seed 1"))


def test_unannounced_and_missing_records_are_findings() -> None:
    """A response announces every new record, and an answered decision is stored."""
    before, now = {"orders": {"old"}}, {"orders": {"old", "announced", "new"}, "payments": set[str]()}
    announced = defaultdict(set, orders={"announced"})

    assert record_findings(before, now, announced, {"pi_1"}) == [
        "1 unannounced orders, such as ['new']",
        "1 missing payments, such as ['pi_1']",
    ]


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
