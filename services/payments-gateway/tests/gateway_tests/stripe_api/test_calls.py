"""Errors of Stripe's library, translated the same way for every client."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from payments_gateway.checkout.customers import EmailRefused
from payments_gateway.domain.attempts import IntentKind, IntentRef
from payments_gateway.domain.intents import CustomerMissing, IntentNotFound, IntentParams, IntentRefused
from payments_gateway.domain.money import Money
from payments_gateway.domain.refunds import RefundOwner
from payments_gateway.domain.stripe_billing import SubscriptionRefused
from payments_gateway.domain.stripe_errors import (
    IdempotencyKeyExhausted,
    IdempotencyKeyReused,
    NotFoundAtStripe,
    StripeKeyRefused,
    StripePermissionMissing,
    StripeUnavailable,
    UnsupportedStripeObject,
)
from payments_gateway.stripe_api.customers import StripeCustomers
from payments_gateway.stripe_api.intents import StripeIntents
from payments_gateway.stripe_api.refunds import StripeDisputes, StripeRefunds
from payments_gateway.stripe_api.subscriptions import StripeSubscriptions

from ..billing_samples import SUBSCRIPTION
from ..samples import ATTEMPT_ID
from ..stripe_stand_in import StripeStandIn, stripe_stand_in

Call = Callable[[StripeStandIn], Awaitable[object]]
PARAMS = IntentParams(IntentKind.SETUP, Money(0, "usd"), customer_id="cus_1")
REF = IntentRef("pi_1", IntentKind.PAYMENT)

CALLS: dict[str, Call] = {
    "create intent": lambda stripe: StripeIntents(stripe.client).create(ATTEMPT_ID, PARAMS, generation=0),
    "retrieve intent": lambda stripe: StripeIntents(stripe.client).retrieve(REF),
    "cancel intent": lambda stripe: StripeIntents(stripe.client).cancel(REF),
    "create customer": lambda stripe: StripeCustomers(stripe.client).create("customer:1"),
    "update customer": lambda stripe: StripeCustomers(stripe.client).update_email("cus_1", "ada@example.com"),
    "create subscription": lambda stripe: StripeSubscriptions(stripe.client).create(SUBSCRIPTION),
    "find subscription": lambda stripe: StripeSubscriptions(stripe.client).find_existing(SUBSCRIPTION),
    "retrieve subscription": lambda stripe: StripeSubscriptions(stripe.client).retrieve("sub_1"),
    "retrieve invoice": lambda stripe: StripeSubscriptions(stripe.client).retrieve_invoice("in_1"),
    "end subscription": lambda stripe: StripeSubscriptions(stripe.client).cancel_at_period_end("sub_1", ends=True),
    "cancel subscription": lambda stripe: StripeSubscriptions(stripe.client).cancel_now("sub_1"),
    "retrieve refund": lambda stripe: StripeRefunds(stripe.client).retrieve("re_1"),
    "list refunds": lambda stripe: StripeRefunds(stripe.client).list_refund_ids(RefundOwner.CHARGE, "ch_1"),
    "retrieve dispute": lambda stripe: StripeDisputes(stripe.client).retrieve("dp_1"),
}
CREATIONS = ["create intent", "create customer", "create subscription"]
CHANGES = ["cancel intent", "update customer", "end subscription", "cancel subscription"]


@pytest.fixture
async def stripe() -> AsyncIterator[StripeStandIn]:
    """Give a Stripe that responds as told."""
    async with stripe_stand_in() as served:
        yield served


async def error_of(call: str, stripe: StripeStandIn) -> Exception:
    """Return the error of a call, which must not quote Stripe's message (P7)."""
    with pytest.raises(Exception) as raised:  # noqa: PT011 — its type is what tests look at
        await CALLS[call](stripe)
    assert "ada@example.com" not in str(raised.value)
    assert raised.value.__suppress_context__ or raised.value.__context__ is None
    return raised.value


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("status", "kind", "code", "expected"),
    [
        (500, "api_error", None, StripeUnavailable),
        (503, "api_error", None, StripeUnavailable),
        (409, "idempotency_error", "idempotency_key_in_use", StripeUnavailable),
        (429, "rate_limit_error", "rate_limit", StripeUnavailable),
        (429, "invalid_request_error", "lock_timeout", StripeUnavailable),
        (401, "invalid_request_error", None, StripeKeyRefused),
        (403, "invalid_request_error", None, StripePermissionMissing),
    ],
)
async def test_a_failure_that_may_pass_is_unavailable(
    stripe: StripeStandIn, call: str, status: int, kind: str, code: str | None, expected: type[Exception]
) -> None:
    """The same call may succeed later."""
    stripe.refuse(status, kind, code)

    assert type(await error_of(call, stripe)) is expected


@pytest.mark.parametrize("call", CREATIONS)
async def test_a_used_idempotency_key_is_told(stripe: StripeStandIn, call: str) -> None:
    """Used with other parameters, or for a request whose failure is stored: only another key helps."""
    stripe.refuse(400, "idempotency_error")
    stripe.refuse(500, "api_error", Idempotent_Replayed="true")

    errors = [await error_of(call, stripe) for _ in range(2)]

    assert [type(error) for error in errors] == [IdempotencyKeyReused, IdempotencyKeyExhausted]


@pytest.mark.parametrize("call", CHANGES)
async def test_a_change_is_repeated_once_where_its_key_replays_a_failure(stripe: StripeStandIn, call: str) -> None:
    """The library sends another key; a second stored failure means that Stripe is failing."""
    for _ in range(2):
        stripe.refuse(500, "api_error", Idempotent_Replayed="true")

    assert type(await error_of(call, stripe)) is StripeUnavailable
    assert len(stripe.sent) == 2


@pytest.mark.parametrize(
    ("call", "code", "param", "expected"),
    [
        ("create intent", "amount_too_small", None, IntentRefused),
        ("create intent", None, None, IntentRefused),
        ("create intent", "resource_missing", "customer", CustomerMissing),
        ("create intent", "resource_missing", "payment_method", IntentNotFound),
        ("retrieve intent", "resource_missing", None, IntentNotFound),
        ("cancel intent", "parameter_unknown", None, StripeUnavailable),
        ("create customer", "parameter_unknown", None, StripeUnavailable),
        ("update customer", "resource_missing", None, CustomerMissing),
        ("update customer", "email_invalid", "email", EmailRefused),
        ("create subscription", "resource_missing", None, SubscriptionRefused),
        ("create subscription", None, None, SubscriptionRefused),
        ("retrieve subscription", "resource_missing", None, NotFoundAtStripe),
        ("retrieve invoice", "resource_missing", None, NotFoundAtStripe),
        ("end subscription", "resource_missing", None, NotFoundAtStripe),
        ("end subscription", "invalid", None, SubscriptionRefused),
        ("retrieve refund", "resource_missing", None, NotFoundAtStripe),
        ("list refunds", "resource_missing", None, NotFoundAtStripe),
        ("retrieve dispute", "resource_missing", None, NotFoundAtStripe),
        ("find subscription", "parameter_invalid_empty", None, StripeUnavailable),
        ("retrieve subscription", "parameter_invalid_empty", None, StripeUnavailable),
        ("retrieve invoice", "parameter_invalid_empty", None, StripeUnavailable),
        ("retrieve refund", "parameter_invalid_empty", None, StripeUnavailable),
    ],
)
async def test_a_rejection_is_told_by_its_code(
    stripe: StripeStandIn, call: str, code: str | None, param: str | None, expected: type[Exception]
) -> None:
    """Only a change can be refused for good: a read that is rejected says nothing about what exists."""
    error = {"type": "invalid_request_error", "code": code, "param": param, "message": "No: ada@example.com"}
    stripe.answer({"error": error}, status=400)

    assert type(await error_of(call, stripe)) is expected


@pytest.mark.parametrize("call", [call for call in CALLS if call not in {"update customer", "list refunds"}])
async def test_an_unreadable_object_is_told(stripe: StripeStandIn, call: str) -> None:
    """Stripe may add a word or a form before we know it. For an intent something in between may have responded."""
    data = {"id": 1, "metadata": {"subscriptionId": SUBSCRIPTION.id}}
    body = {"object": "list", "data": [data], "has_more": False} if call == "find subscription" else {"object": "x"}
    stripe.answer(body)

    with pytest.raises(StripeUnavailable if "intent" in call else UnsupportedStripeObject):
        await CALLS[call](stripe)
