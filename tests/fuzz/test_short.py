"""A little of every target, the same every time."""

from collections.abc import Iterator

import pytest

from .subject import Subject, running_subject
from .targets import all_targets
from .trials import run_short
from .watch import Watch

TARGETS = (
    "openapi document",
    "initiate bodies",
    "complete bodies",
    "reads",
    "webhook bodies",
    "webhook signatures",
    "webhook framing",
    "grpc checkout-session messages",
    "grpc checkout-session bytes",
    "grpc orders messages",
    "grpc orders bytes",
    "simulator forms",
    "simulator api",
)


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    """Run the system."""
    with running_subject(tmp_path_factory.mktemp("holdfast")) as running:
        yield running


@pytest.fixture(scope="module")
def watch(subject: Subject) -> Watch:
    """Look at the system as it is before."""
    return Watch(subject)


def test_every_target_is_listed(subject: Subject, watch: Watch) -> None:
    """What `make fuzz` runs for long is run here for a moment."""
    assert [target.name for target in all_targets(subject, watch.promised)] == list(TARGETS)


@pytest.mark.parametrize("name", TARGETS)
def test_hostile_input_does_no_harm(subject: Subject, watch: Watch, name: str) -> None:
    """No input is answered with a server error or not at all, and none leaves a record or a trace in the log."""
    target = next(target for target in all_targets(subject, watch.promised) if target.name == name)

    tried = run_short(target)

    assert tried >= target.short / 2
    assert watch.objections() == []
