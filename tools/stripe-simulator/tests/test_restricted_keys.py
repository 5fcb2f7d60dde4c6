from typing import Any

import pytest
import stripe

from stripe_simulator.testing import SimulatedStripe, official_client

KEY = "rk_test_0123456789abcd"


async def restricted(sim: SimulatedStripe, **permissions: str) -> stripe.StripeClient:
    """Return a client with a key of these permissions."""
    await sim.control("POST", "/restricted_keys", {"key": KEY, "permissions": permissions})
    return official_client(sim.simulator, sim.session, KEY)


async def test_a_key_needs_the_permission_of_the_resource(sim: SimulatedStripe) -> None:
    """Write includes read. The error names the permission, and not the key."""
    api = await restricted(sim, customer="write", plan="read", charge="none")
    customer = await api.v1.customers.create_async({})
    await api.v1.customers.retrieve_async(customer.id)
    await api.v1.prices.list_async()

    missing = []
    for method, path in (
        ("POST", "/v1/prices"),
        ("GET", "/v1/refunds"),
        ("DELETE", "/v1/webhook_endpoints/we_1"),
        ("POST", "/v1/billing_portal/sessions"),
    ):
        status, body, _ = await sim.raw(method, path, headers={"Authorization": f"Bearer {KEY}"})
        error = body["error"]
        assert (status, error["type"], "code" in error) == (403, "invalid_request_error", False)
        assert KEY not in error["message"]
        missing.append(error["message"].split("Having the ")[1].split(" ")[0])

    assert missing == ["'rak_plan_write'", "'rak_charge_read'", "'rak_webhook_write'", "'rak_customer_portal_write'"]


async def test_expanded_objects_have_to_be_readable(sim: SimulatedStripe) -> None:
    """Nothing is executed otherwise."""
    api = await restricted(sim, payment_intent="write")
    params: Any = {"amount": 500, "currency": "usd", "expand": ["latest_charge.customer"]}

    with pytest.raises(stripe.PermissionError, match="rak_c"):
        await api.v1.payment_intents.create_async(params)
    none = (await api.v1.payment_intents.list_async()).data
    api = await restricted(sim, payment_intent="write", charge="read", customer="read")
    await api.v1.payment_intents.create_async(params)

    assert none == []
    assert len((await api.v1.payment_intents.list_async({"expand": ["data.latest_charge"]})).data) == 1


async def test_a_revoked_key_is_unknown(sim: SimulatedStripe) -> None:
    """Permissions of unknown resources are refused."""
    api = await restricted(sim, customer="read")
    await api.v1.customers.list_async()

    await sim.control("DELETE", f"/restricted_keys/{KEY}")

    with pytest.raises(stripe.AuthenticationError):
        await api.v1.customers.list_async()
    await sim.control("POST", "/restricted_keys", {"permissions": {"unicorn": "read"}}, status=422)
    await sim.control("POST", "/restricted_keys", {"key": "sk_test_1", "permissions": {}}, status=422)
