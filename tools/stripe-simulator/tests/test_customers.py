import pytest
import stripe

from stripe_simulator.testing import SimulatedStripe


async def test_customers_are_updated_and_found_by_email(sim: SimulatedStripe) -> None:
    """An empty string unsets a field. The name of a business is absent then."""
    made = await sim.api.v1.customers.create_async({"email": "a@shop.example", "name": "A", "business_name": "Co"})

    updated = await sim.api.v1.customers.update_async(made.id, {"business_name": "", "name": "B"})

    found = await sim.api.v1.customers.list_async({"email": "a@shop.example"})
    assert (updated.name, "business_name" in updated, updated.email) == ("B", False, "a@shop.example")
    assert [each.id for each in found.data] == [made.id]
    assert await sim.event_types() == ["customer.created", "customer.updated"]


async def test_a_deleted_customer_leaves_a_tombstone(sim: SimulatedStripe) -> None:
    """It can be retrieved, but neither listed nor updated."""
    made = await sim.api.v1.customers.create_async({})
    await sim.api.v1.customers.delete_async(made.id)

    seen = await sim.api.v1.customers.retrieve_async(made.id)

    assert seen.deleted
    assert (await sim.api.v1.customers.list_async()).data == []
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sim.api.v1.customers.update_async(made.id, {"name": "B"})
    assert refused.value.http_status == 404


@pytest.mark.parametrize("method", ["pm_card_visa", "pm_usBankAccount"])
async def test_nothing_is_charged_for_a_deleted_customer(sim: SimulatedStripe, method: str) -> None:
    """The confirm is refused before there is a charge."""
    customer = await sim.api.v1.customers.create_async({})
    intent = await sim.intent(customer=customer.id, setup_future_usage="off_session")
    await sim.api.v1.customers.delete_async(customer.id)

    refused = await sim.pay(intent.id, payment_method=method)

    assert refused["error"]["code"] == "resource_missing"
    assert [name for name in await sim.event_types() if name.startswith("charge.")] == []


async def test_a_challenge_charges_nothing_for_a_deleted_customer(sim: SimulatedStripe) -> None:
    """The buyer passes it after the customer was deleted."""
    customer = await sim.api.v1.customers.create_async({})
    intent = await sim.intent(customer=customer.id, setup_future_usage="off_session")
    await sim.pay(intent.id, payment_method="pm_card_authenticationRequired")
    await sim.api.v1.customers.delete_async(customer.id)

    refused = await sim.control("POST", f"/payment_intents/{intent.id}/challenge")

    assert refused["error"]["code"] == "resource_missing"
    assert [name for name in await sim.event_types() if name.startswith("charge.")] == []


@pytest.mark.parametrize("email", ["nobody", "a@b", "a b@shop.example"])
async def test_an_invalid_email_is_refused(sim: SimulatedStripe, email: str) -> None:
    """The error names the parameter."""
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sim.api.v1.customers.create_async({"email": email})

    assert (refused.value.code, refused.value.param) == ("email_invalid", "email")
