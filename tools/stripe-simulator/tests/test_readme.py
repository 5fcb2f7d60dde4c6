import re
from pathlib import Path

import pytest

from stripe_simulator import Simulator
from stripe_simulator.control_api import control_routes
from stripe_simulator.faults import FaultKind, FaultRule
from stripe_simulator.webhooks.rules import DeliveryRule

README = (Path(__file__).parent.parent / "README.md").read_text()


async def test_every_knob_is_documented() -> None:
    """The README names the path of every knob."""
    paths = {route.path.removeprefix("/_simulator") for route in control_routes(Simulator())}

    missing = {path for path in paths if path not in README} - {"/{rest:.*}", "/challenges/{id}"}

    assert missing == set()


@pytest.mark.parametrize(
    "name", [*(kind.value for kind in FaultKind), *FaultRule.model_fields, *DeliveryRule.model_fields]
)
def test_every_fault_and_rule_is_documented(name: str) -> None:
    """The README names every kind of fault and every field of a fault or rule."""
    assert re.search(rf"\b{name}\b", README)
