from payments_gateway.stripe_api.customers import StripeCustomers

from ..stripe_stand_in import stripe_stand_in


async def test_a_customer_is_created_with_its_key_alone() -> None:
    """The request of a key is always the same: no metadata, no name, no address (P7)."""
    async with stripe_stand_in() as stripe:
        stripe.answer({"id": "cus_1", "object": "customer"})

        customer_id = await StripeCustomers(stripe.client).create("customer:1")

    [sent] = stripe.sent
    assert customer_id == "cus_1"
    assert (sent.method, sent.path, sent.fields) == ("POST", "/v1/customers", {})
    assert sent.headers["Idempotency-Key"] == "customer:1"


async def test_only_the_email_address_is_updated() -> None:
    """Stripe writes to it when a charge fails; it needs neither name nor address for that."""
    async with stripe_stand_in() as stripe:
        stripe.answer({"id": "cus_1", "object": "customer"})

        await StripeCustomers(stripe.client).update_email("cus_1", "ada@example.com")

    [sent] = stripe.sent
    assert (sent.method, sent.path, sent.fields) == ("POST", "/v1/customers/cus_1", {"email": "ada@example.com"})
