"""A little of every target, the same every time."""

from collections.abc import Iterator, Mapping

import pytest

from .subject import Subject, running_subject
from .targets import Target, all_targets
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


@pytest.fixture(scope="module")
def targets(subject: Subject, watch: Watch) -> Mapping[str, Target]:
    """Find what there is to send to, by name."""
    return {target.name: target for target in all_targets(subject, watch.promised)}


def test_every_target_is_listed(targets: Mapping[str, Target]) -> None:
    """What `make fuzz` runs for long is run here for a moment."""
    assert list(targets) == list(TARGETS)


@pytest.mark.parametrize("name", TARGETS)
def test_hostile_input_does_no_harm(targets: Mapping[str, Target], watch: Watch, name: str) -> None:
    """No input is answered with a server error or not at all, and none leaves a record or a trace in the log."""
    target = targets[name]

    tried = run_short(target)

    assert tried >= target.short / 2
    assert watch.objections() == []
