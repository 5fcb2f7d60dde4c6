"""The calls of the two requests that every purchase makes: each call more is one more that can fail or be slow."""

import pytest

from .checkout_scenarios import Begin
from .harness.control_api import ControlApi
from .harness.outgoing_calls import BACKGROUND_CALLS
from .harness.outgoing_calls import OutgoingCall as Call
from .harness.shop import Shop
from .harness.system import System
from .payment_scenarios import Report
from .scenario import Environment, Scenario

INITIATE = [Call.CREATE_INTENT, Call.SAVE_ATTEMPT]
WEBHOOK = [Call.GET_ATTEMPT, Call.RECORD_PURCHASE]


@pytest.mark.parametrize(("kind", "calls"), [(Begin, INITIATE), (Report, WEBHOOK)], ids=["initiate", "webhook"])
async def test_a_purchase_makes_four_calls(
    system: System, control_api: ControlApi, shop: Shop, kind: type[Scenario], calls: list[Call]
) -> None:
    """Initiate, with a key: one to Stripe and one to checkout-session. The webhook: two to the services."""
    await control_api.add_webhook_rule(types=["*"], drop=True, count=None)
    scenario = kind(Environment(system, control_api, shop))
    await scenario.arrange()
    system.proxies.clear_calls()

    (await scenario.act(shop)).ok()

    made = [call.name for call in system.proxies.calls if call.name not in BACKGROUND_CALLS]
    await scenario.recover()
    assert sorted(made) == sorted(calls)
