from typing import Any

import pytest
import stripe

from stripe_simulator.testing import SimulatedStripe


async def test_customers_are_created_updated_and_found_by_email(sim: SimulatedStripe) -> None:
    """A customer keeps what it is given; an empty string unsets."""
    made = await sim.api.v1.customers.create_async({"email": "a@shop.example", "name": "A", "business_name": "Co"})

    updated = await sim.api.v1.customers.update_async(made.id, {"business_name": "", "name": "B"})

    found = await sim.api.v1.customers.list_async({"email": "a@shop.example"})
    assert made.id.startswith("cus_")
    assert (updated.name, updated.business_name, updated.email) == ("B", None, "a@shop.example")
    assert [each.id for each in found.data] == [made.id]
    assert await sim.event_types() == ["customer.created", "customer.updated"]


async def test_a_deleted_customer_is_known_as_deleted(sim: SimulatedStripe) -> None:
    """Retrieving still answers, updating and listing do not."""
    made = await sim.api.v1.customers.create_async({})
    await sim.api.v1.customers.delete_async(made.id)

    seen = await sim.api.v1.customers.retrieve_async(made.id)

    assert seen.deleted
    assert (await sim.api.v1.customers.list_async()).data == []
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sim.api.v1.customers.update_async(made.id, {"name": "B"})
    assert refused.value.http_status == 404


@pytest.mark.parametrize("email", ["nobody", "a@b", "a b@shop.example"])
async def test_addresses_that_are_none_are_refused(sim: SimulatedStripe, email: str) -> None:
    """An e-mail address must look like one."""
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sim.api.v1.customers.create_async({"email": email})

    assert (refused.value.code, refused.value.param) == ("email_invalid", "email")


async def test_payment_methods_are_attached_listed_and_detached(sim: SimulatedStripe) -> None:
    """A customer's cards can be listed by type; a detached one is spent."""
    customer = await sim.api.v1.customers.create_async({})
    attached = await sim.api.v1.payment_methods.attach_async("pm_card_visa", {"customer": customer.id})
    cards = await sim.api.v1.payment_methods.list_async({"customer": customer.id, "type": "card"})
    own = await sim.api.v1.customers.payment_methods.list_async(customer.id)

    detached = await sim.api.v1.payment_methods.detach_async(attached.id)

    assert [each.id for each in cards.data] == [each.id for each in own.data] == [attached.id]
    assert detached.customer is None
    with pytest.raises(stripe.InvalidRequestError, match="may not be used again"):
        await sim.api.v1.payment_methods.attach_async(attached.id, {"customer": customer.id})


async def test_a_bad_card_cannot_be_attached(sim: SimulatedStripe) -> None:
    """The bank is asked when a card is saved."""
    customer = await sim.api.v1.customers.create_async({})

    with pytest.raises(stripe.CardError) as declined:
        await sim.api.v1.payment_methods.attach_async("pm_card_chargeDeclined", {"customer": customer.id})

    assert declined.value.code == "card_declined"


async def test_cards_show_no_more_than_their_last_digits(sim: SimulatedStripe) -> None:
    """A card made from a number never shows the number or the security code."""
    card: Any = {"number": "4242424242424242", "exp_month": 5, "exp_year": 2031, "cvc": "987"}

    made = await sim.api.v1.payment_methods.create_async({"type": "card", "card": card})

    shown = made.to_dict()["card"]
    assert (shown["last4"], shown["brand"], shown["exp_year"]) == ("4242", "visa", 2031)
    assert not {"number", "cvc"} & set(shown)
