"""Lists of intents, against prepared responses."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from payments_gateway.domain.attempts import IntentKind
from payments_gateway.domain.intent_lists import ListPosition
from payments_gateway.domain.money import Money
from payments_gateway.domain.stripe_errors import StripeUnavailable
from payments_gateway.stripe_api.intent_lists import StripeIntentLists

from ..samples import ATTEMPT_ID, intent_ref
from ..stripe_stand_in import StripeStandIn, intent_json, stripe_stand_in

FROM, TO = datetime(2030, 1, 1, 12, 0, 0, 900_000, tzinfo=UTC), datetime(2030, 1, 1, 13, 0, 0, 100_000, tzinfo=UTC)
AFTER = ListPosition("pi_9", TO)
NOON = 1_893_499_200
CHARGE = {"id": "ch_1", "object": "charge", "amount_refunded": 250, "currency": "usd", "created": 1_790_000_000}


@pytest.fixture
async def stand_in() -> AsyncIterator[StripeStandIn]:
    """Give a Stripe that responds as told."""
    async with stripe_stand_in() as served:
        yield served


def page_json(*intents: dict[str, Any], has_more: bool = False) -> dict[str, Any]:
    """Return a page of a list."""
    return {"object": "list", "data": list(intents), "has_more": has_more, "url": "/v1/payment_intents"}


async def test_payment_intents_are_listed_with_their_refunds(stand_in: StripeStandIn) -> None:
    """A hundred of them, created within both times to the second, after a position."""
    stand_in.answer(page_json(intent_json(created=NOON + 5, latest_charge=CHARGE), has_more=True))

    page = await StripeIntentLists(stand_in.client).page(IntentKind.PAYMENT, FROM, TO, after=AFTER)

    [sent] = stand_in.sent
    assert (sent.method, sent.path) == ("GET", "/v1/payment_intents")
    assert sent.fields == {
        "limit": "100",
        "created[gte]": str(NOON),
        "created[lte]": str(NOON + 3601),
        "starting_after": "pi_9",
        "expand[0]": "data.latest_charge",
    }
    [listed] = page.intents
    assert (listed.ref, listed.attempt_id) == (intent_ref("pi_1"), ATTEMPT_ID)
    assert (listed.created_at, listed.refunded) == (datetime.fromtimestamp(NOON + 5, UTC), Money(250, "usd"))
    assert page.end == ListPosition("pi_1", datetime.fromtimestamp(NOON + 5, UTC))


async def test_setup_intents_are_listed(stand_in: StripeStandIn) -> None:
    """They have no charge to expand; the last page has no end."""
    stand_in.answer(page_json())

    page = await StripeIntentLists(stand_in.client).page(IntentKind.SETUP, FROM, TO)

    [sent] = stand_in.sent
    assert sent.path == "/v1/setup_intents"
    assert not any(name.startswith("expand") for name in sent.fields)
    assert (page.intents, page.end) == ((), None)


async def test_an_unreadable_intent_hides_no_other(stand_in: StripeStandIn) -> None:
    """Other software's may have any form."""
    stand_in.answer(page_json(intent_json(created=NOON, amount_received=None), intent_json(id="pi_2", created=NOON)))

    page = await StripeIntentLists(stand_in.client).page(IntentKind.PAYMENT, FROM, TO)

    assert [listed.ref.id for listed in page.intents] == ["pi_2"]


async def test_a_refused_list_is_an_outage(stand_in: StripeStandIn) -> None:
    """The sweep tries again."""
    stand_in.refuse(400, "invalid_request_error", "parameter_invalid_integer")

    with pytest.raises(StripeUnavailable):
        await StripeIntentLists(stand_in.client).page(IntentKind.PAYMENT, FROM, TO)
