import re

import pytest
import stripe

from stripe_simulator.testing import SimulatedStripe

RETURN_URL = "https://shop.example/subscriptions?from=portal&x=1"


async def open_portal(sim: SimulatedStripe, customer: str) -> stripe.billing_portal.Session:
    """Open the portal of a customer."""
    return await sim.api.v1.billing_portal.sessions.create_async({"customer": customer, "return_url": RETURN_URL})


async def test_a_session_needs_a_configuration(sim: SimulatedStripe) -> None:
    """An account has none until the portal's settings were saved."""
    customer = await sim.api.v1.customers.create_async({})
    with pytest.raises(stripe.InvalidRequestError, match="default configuration has not been created") as refused:
        await open_portal(sim, customer.id)

    saved = await sim.control("POST", "/portal_settings")
    session = await open_portal(sim, customer.id)

    configuration = await sim.api.v1.billing_portal.configurations.retrieve_async(saved["id"])
    listed = await sim.api.v1.billing_portal.configurations.list_async({"is_default": True})
    assert (refused.value.http_status, refused.value.code) == (400, None)
    assert (session.customer, session.return_url, session.configuration) == (customer.id, RETURN_URL, saved["id"])
    assert [configuration.id] == [each.id for each in listed.data]
    assert (await sim.event_types())[-2:] == ["billing_portal.configuration.created", "billing_portal.session.created"]


@pytest.mark.parametrize(
    ("params", "code", "param"),
    [
        ({}, "parameter_missing", "customer"),
        ({"customer": "cus_nobody"}, "resource_missing", "customer"),
        ({"return_url": "shop"}, "url_invalid", "return_url"),
        ({"configuration": "bpc_none"}, "resource_missing", "configuration"),
    ],
)
async def test_invalid_sessions_are_refused(
    sim: SimulatedStripe, params: dict[str, str], code: str, param: str
) -> None:
    """No customer, an unknown one, or a wrong address."""
    await sim.control("POST", "/portal_settings")
    customer = await sim.api.v1.customers.create_async({})
    known = {} if param == "customer" else {"customer": customer.id}

    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sim.api.v1.billing_portal.sessions.create_async({**known, **params})  # type: ignore[arg-type]

    assert (refused.value.code, refused.value.param) == (code, param)


async def test_the_page_ends_a_subscription_and_undoes_it(sim: SimulatedStripe) -> None:
    """By the date alone. Only those of the session's customer, and it leads back to the shop."""
    await sim.control("POST", "/portal_settings")
    mine, other = await sim.subscription(), await sim.subscription()
    session = await open_portal(sim, str(mine.customer))
    seen = []

    async with sim.session.get(session.url) as response:
        page = await response.text()
    for action in ("cancel", "undo"):
        form = {"subscription": mine.id, "action": action}
        async with sim.session.post(session.url, data=form) as response:
            button = re.findall(r"value=(cancel|undo)", await response.text())
        now = await sim.api.v1.subscriptions.retrieve_async(mine.id)
        seen.append((now.cancel_at, now.cancel_at_period_end, button))
    async with sim.session.post(session.url, data={"subscription": other.id, "action": "cancel"}) as response:
        refused = response.status

    [item] = mine.to_dict()["items"]["data"]
    assert seen == [(item["current_period_end"], False, ["undo"]), (None, False, ["cancel"])]
    assert (refused, mine.id in page, other.id in page) == (404, True, False)
    assert 'href="https://shop.example/subscriptions?from=portal&amp;x=1"' in page
