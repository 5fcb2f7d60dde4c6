from collections.abc import AsyncIterator

import pytest

from payments_gateway.checkout.customers import EmailRefused
from payments_gateway.domain.intents import CustomerMissing
from payments_gateway.domain.stripe_errors import IdempotencyKeyExhausted, StripeKeyRefused, StripeUnavailable
from payments_gateway.stripe_api.customers import StripeCustomers

from ..stripe_stand_in import StripeStandIn, stripe_stand_in

EMAIL = "ada@example.com"


@pytest.fixture
async def stand_in() -> AsyncIterator[StripeStandIn]:
    """Give a Stripe that answers what it is told to."""
    async with stripe_stand_in() as served:
        yield served


async def test_a_customer_is_made_with_nothing_but_its_key(stand_in: StripeStandIn) -> None:
    """Whatever the cart, the request of a key is the same: no metadata, no name, no address (P7)."""
    stand_in.answer({"id": "cus_1", "object": "customer"})

    made = await StripeCustomers(stand_in.client).create("customer:1")

    [sent] = stand_in.sent
    assert made == "cus_1"
    assert (sent.method, sent.path, sent.fields) == ("POST", "/v1/customers", {})
    assert sent.headers["Idempotency-Key"] == "customer:1"


async def test_only_the_email_address_is_told(stand_in: StripeStandIn) -> None:
    """Stripe writes to it when a charge fails; it needs neither name nor address for that."""
    stand_in.answer({"id": "cus_1", "object": "customer"})

    await StripeCustomers(stand_in.client).update_email("cus_1", EMAIL)

    [sent] = stand_in.sent
    assert (sent.method, sent.path, sent.fields) == ("POST", "/v1/customers/cus_1", {"email": EMAIL})


@pytest.mark.parametrize(
    ("status", "kind", "code", "headers", "expected"),
    [
        (400, "idempotency_error", None, {}, IdempotencyKeyExhausted),
        (500, "api_error", None, {"Idempotent_Replayed": "true"}, IdempotencyKeyExhausted),
        (500, "api_error", None, {}, StripeUnavailable),
        (429, "rate_limit_error", "rate_limit", {}, StripeUnavailable),
        (401, "invalid_request_error", None, {}, StripeKeyRefused),
        (400, "invalid_request_error", None, {}, StripeUnavailable),
    ],
)
async def test_stripes_failures_have_names(
    stand_in: StripeStandIn,
    status: int,
    kind: str,
    code: str | None,
    headers: dict[str, str],
    expected: type[Exception],
) -> None:
    """What may pass and what another key may help; none quotes Stripe's message (P7)."""
    stand_in.refuse(status, kind, code, **headers)

    with pytest.raises(Exception) as failure:  # noqa: PT011 — its type is the assertion
        await StripeCustomers(stand_in.client).create("customer:1")

    assert type(failure.value) is expected
    assert EMAIL not in str(failure.value)


async def test_a_deleted_customer_is_missing(stand_in: StripeStandIn) -> None:
    """Somebody deleted it."""
    stand_in.refuse(404, "invalid_request_error", "resource_missing")

    with pytest.raises(CustomerMissing):
        await StripeCustomers(stand_in.client).update_email("cus_1", EMAIL)


async def test_an_email_address_that_stripe_refuses_is_told_apart(stand_in: StripeStandIn) -> None:
    """No reason to lose the sale, and not quoted (P7)."""
    error = {"type": "invalid_request_error", "code": "email_invalid", "param": "email", "message": EMAIL}
    stand_in.answer({"error": error}, status=400)

    with pytest.raises(EmailRefused) as failure:
        await StripeCustomers(stand_in.client).update_email("cus_1", EMAIL)

    assert EMAIL not in str(failure.value)


async def test_an_update_whose_key_replays_a_failure_is_sent_with_another(stand_in: StripeStandIn) -> None:
    """Nothing is told twice, so a fresh key does no harm."""
    stand_in.refuse(500, "api_error", Idempotent_Replayed="true")
    stand_in.answer({"id": "cus_1", "object": "customer"})

    await StripeCustomers(stand_in.client).update_email("cus_1", EMAIL)

    first, second = (sent.headers["Idempotency-Key"] for sent in stand_in.sent)
    assert first != second


async def test_an_update_that_keeps_failing_may_pass(stand_in: StripeStandIn) -> None:
    """Two keys are enough; the buyer is told to come again."""
    for _ in range(2):
        stand_in.refuse(500, "api_error", Idempotent_Replayed="true")

    with pytest.raises(StripeUnavailable):
        await StripeCustomers(stand_in.client).update_email("cus_1", EMAIL)

    assert len(stand_in.sent) == 2
