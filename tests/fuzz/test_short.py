"""The short form: a few inputs for every target, the same every time."""

import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest

from .checks import Checks, read_records
from .fuzzed_system import FuzzedSystem, run_system
from .grpc_targets import EVENTS_SERVICE, ORDERS_SERVICE, SESSION_SERVICE, call_method
from .message_inputs import valid_message
from .runs import run_short
from .targets import Target, all_targets

TARGETS = (
    "openapi document",
    "initiate bodies",
    "complete bodies",
    "webhook bodies",
    "webhook signatures",
    "grpc checkout-session",
    "grpc orders",
    "grpc orders events",
)
pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")
METHODS = [*SESSION_SERVICE.methods, *ORDERS_SERVICE.methods, *EVENTS_SERVICE.methods]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FuzzedSystem]:
    """Run the system."""
    with run_system(tmp_path_factory.mktemp("holdfast")) as running:
        yield running


@pytest.fixture(scope="module")
def targets(system: FuzzedSystem) -> Mapping[str, Target]:
    """Return the targets by name."""
    return {target.name: target for target in all_targets(system)}


@pytest.fixture(scope="module")
def checks(system: FuzzedSystem, targets: Mapping[str, Target]) -> Checks:
    """Read the state before the first input."""
    assert list(targets) == list(TARGETS)
    return Checks(system)


@pytest.mark.parametrize("name", TARGETS)
def test_hostile_input_does_no_harm(targets: Mapping[str, Target], checks: Checks, name: str) -> None:
    """No input causes a server error or no response, an unannounced record, or an exception in a log."""
    target = targets[name]

    tried = run_short(target)

    assert tried >= target.short_inputs / 2
    assert checks.findings() == []


@pytest.mark.long
def test_a_strangers_schemathesis_finds_nothing(system: FuzzedSystem, tmp_path: Path) -> None:
    """With nothing but the OpenAPI document: what it allows is taken, what it forbids refused, as it says."""
    command = ["schemathesis", "run", f"http://{system.gateway}/openapi.json", "--no-color", "--seed", "1"]

    run = subprocess.run(
        [Path(sys.executable).with_name(command[0]), *command[1:]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert run.returncode == 0, run.stdout[-20_000:]
    assert "Tested: 12" in run.stdout


def test_keys_of_records_are_read_unchanged(system: FuzzedSystem) -> None:
    """Otherwise an announced record looks like an unannounced one: psql omits U+10FFFF from its output."""
    method = ORDERS_SERVICE.methods_by_name["QuarantinePayment"]
    request = valid_message(method.input_type, uuid.uuid4())
    request.payment.intent.id = key = "pi_\U0010ffff"
    system.announce(key, "payments")

    call_method(system.orders_channel, method, request.SerializeToString())

    assert key in read_records(system)["payments"]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_the_request_to_mutate_is_valid(system: FuzzedSystem, method: Any) -> None:
    """A valid request passes validation; an invalid one would keep its mutations from the code behind."""
    channel = system.session_channel if method in SESSION_SERVICE.methods else system.orders_channel
    request = valid_message(method.input_type, uuid.uuid4())

    code, details = call_method(channel, method, request.SerializeToString())

    assert code is not grpc.StatusCode.INVALID_ARGUMENT, details
