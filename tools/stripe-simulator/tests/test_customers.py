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


@pytest.mark.parametrize("email", ["nobody", "a@b", "a b@shop.example"])
async def test_an_invalid_email_is_refused(sim: SimulatedStripe, email: str) -> None:
    """The error names the parameter."""
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sim.api.v1.customers.create_async({"email": email})

    assert (refused.value.code, refused.value.param) == ("email_invalid", "email")
