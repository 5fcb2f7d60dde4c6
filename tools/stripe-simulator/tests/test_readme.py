import re
from pathlib import Path

from stripe_simulator import Simulator
from stripe_simulator.control_api import control_routes
from stripe_simulator.faults import FaultKind, FaultRule
from stripe_simulator.webhooks.rules import DeliveryRule

README = (Path(__file__).parent.parent / "README.md").read_text()


async def test_the_readme_documents_the_control_api() -> None:
    """It names every path, every kind of fault, and every field of a fault or a rule."""
    paths = {route.path.removeprefix("/_simulator") for route in control_routes(Simulator())}
    names = {*FaultKind, *FaultRule.model_fields, *DeliveryRule.model_fields}

    assert {path for path in paths if path not in README} == {"/{rest:.*}"}
    assert {name for name in names if not re.search(rf"\b{name}\b", README)} == set()
