"""Values that must be the same in every version, so that a retry during a rollout gets its answer (ADR 45).

If one of these has to change, the new form gets a new key (`attempt-2:…`), and the old one is still answered.
"""

from payments_gateway.access.tokens import GUEST
from payments_gateway.api.checkout_bodies import InitiateCheckoutBody, checkout_request_from_body
from payments_gateway.checkout.attempt_ids import AttemptIds
from payments_gateway.domain.attempts import IntentKind
from payments_gateway.domain.callers import Caller
from payments_gateway.domain.intents import IntentParams
from payments_gateway.domain.money import Money
from payments_gateway.stripe_api.customers import StripeCustomers
from payments_gateway.stripe_api.intents import StripeIntents
from payments_gateway.stripe_api.refunds import StripeRefunds

from .samples import ATTEMPT_ID
from .stripe_stand_in import intent_json, stripe_stand_in

KEY = "0b0f9e3c-2f6a-4c57-9d41-7f2a3c1e5d60"
BODY = {
    "items": [{"priceId": "price_mug", "quantity": 2}],
    "contact": {"name": "Ada Lovelace", "email": "ada@shop.example"},
    "shippingAddress": {"line1": "12 St James's Square", "city": "London", "postalCode": "SW1Y 4JH", "country": "GB"},
    "shippingOptionId": "shr_std",
}
REFUND = {
    "id": "re_1",
    "object": "refund",
    "amount": 250,
    "currency": "usd",
    "status": "succeeded",
    "created": 1_900_000_000,
}


def test_the_hash_of_a_request_is_constant() -> None:
    """A retry with another hash is refused as another request."""
    request = checkout_request_from_body(InitiateCheckoutBody.model_validate(BODY))

    assert request.request_hash.hex() == "5c176a1ee59d26471fe1a41eaec14ed8e48dd23883339be6eb468fbaaef7a919"


def test_attempt_ids_are_constant() -> None:
    """A retry with another id would be a second checkout."""
    ids = AttemptIds([b"a secret of thirty-two bytes or so"])

    assert [ids.derive(caller, KEY) for caller in (GUEST, Caller("user_ada"))] == [
        "03073f5b-338f-8cf9-ad5f-960dd5f57c0a",
        "4b166303-4d34-8d9c-b532-3fb0cb835c52",
    ]


async def test_an_intent_is_created_with_constant_parameters() -> None:
    """Stripe refuses an idempotency key with other parameters, and the buyer would get a 409."""
    async with stripe_stand_in() as stripe:
        for _ in range(2):
            stripe.answer(intent_json())
        intents = StripeIntents(stripe.client)
        for customer_id in (None, "cus_1"):
            params = IntentParams(IntentKind.PAYMENT, Money(1250, "usd"), customer_id=customer_id)
            await intents.create(ATTEMPT_ID, params, generation=0)

    guest = {
        "amount": "1250",
        "currency": "usd",
        "automatic_payment_methods[enabled]": "true",
        "excluded_payment_method_types[0]": "boleto",
        "excluded_payment_method_types[1]": "customer_balance",
        "excluded_payment_method_types[2]": "konbini",
        "excluded_payment_method_types[3]": "multibanco",
        "excluded_payment_method_types[4]": "oxxo",
        "metadata[checkoutAttemptId]": ATTEMPT_ID,
    }
    subscriber = {
        "customer": "cus_1",
        "setup_future_usage": "off_session",
        "excluded_payment_method_types[5]": "bancontact",
        "excluded_payment_method_types[6]": "ideal",
        "excluded_payment_method_types[7]": "sofort",
    }
    assert [dict(sent.fields) for sent in stripe.sent] == [guest, {**guest, **subscriber}]
    assert {sent.headers["Idempotency-Key"] for sent in stripe.sent} == {f"attempt:{ATTEMPT_ID}"}


async def test_a_setup_intent_is_created_with_constant_parameters() -> None:
    """The same refusal would meet the buyer of a subscription."""
    async with stripe_stand_in() as stripe:
        stripe.answer(intent_json("seti_1", object="setup_intent"))
        params = IntentParams(IntentKind.SETUP, Money(0, "usd"), customer_id="cus_1")
        await StripeIntents(stripe.client).create(ATTEMPT_ID, params, generation=0)

    [sent] = stripe.sent
    assert dict(sent.fields) == {
        "customer": "cus_1",
        "usage": "off_session",
        "automatic_payment_methods[enabled]": "true",
        "excluded_payment_method_types[0]": "boleto",
        "excluded_payment_method_types[1]": "customer_balance",
        "excluded_payment_method_types[2]": "konbini",
        "excluded_payment_method_types[3]": "multibanco",
        "excluded_payment_method_types[4]": "oxxo",
        "excluded_payment_method_types[5]": "bancontact",
        "excluded_payment_method_types[6]": "ideal",
        "excluded_payment_method_types[7]": "sofort",
        "metadata[checkoutAttemptId]": ATTEMPT_ID,
    }
    assert sent.headers["Idempotency-Key"] == f"attempt:{ATTEMPT_ID}"


async def test_a_refund_is_created_with_constant_parameters() -> None:
    """Stripe would refuse to repeat one that was begun before the rollout, and nobody would know if it was made."""
    async with stripe_stand_in() as stripe:
        for _ in range(2):
            stripe.answer(REFUND)
        for amount in (None, Money(250, "usd")):
            await StripeRefunds(stripe.client).create("pi_1", amount, idempotency_key="settle:pi_1:0")

    rest = {"payment_intent": "pi_1", "expand[0]": "payment_intent"}
    assert [dict(sent.fields) for sent in stripe.sent] == [rest, {**rest, "amount": "250"}]


async def test_a_customer_is_created_without_parameters() -> None:
    """Its key is used for years (ADR 16)."""
    async with stripe_stand_in() as stripe:
        stripe.answer({"id": "cus_1", "object": "customer"})
        await StripeCustomers(stripe.client).create("customer:1")

    [sent] = stripe.sent
    assert (dict(sent.fields), sent.headers["Idempotency-Key"]) == ({}, "customer:1")
