"""The verbs of quarantine: what they send, print and exit with. End-to-end tests settle with real servers."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from checkout.common.v1 import common_pb2
from checkout.orders.v1 import operator_pb2 as pb
from checkout.orders.v1 import orders_pb2
from stripe_simulator.testing import SimulatedStripe, simulated_stripe

from ..operator_command import Completed, environment, holdfast
from ..operator_stand_in import OperatorStandIn
from ..samples import ATTEMPT_ID
from ..service_stand_ins import Refusal, SessionStandIn

WHY = ("--reason", "ticket 4711")
NEWER: Any = 99
INTENT = common_pb2.Intent(id="pi_1", kind=common_pb2.Intent.KIND_PAYMENT)
BUYER = {"email": "ada@example.com", "name": "Ada Lovelace"}
ADDRESS = {"line1": "12 St James's Square", "city": "London", "postalCode": "SW1Y 4JH", "country": "GB"}


@pytest.fixture
async def sim() -> AsyncIterator[SimulatedStripe]:
    """Give a Stripe with nothing on sale."""
    async with simulated_stripe() as simulated:
        yield simulated


def state(**changes: Any) -> pb.PaymentState:
    """Return a payment that waits for a person."""
    return pb.PaymentState(
        payment=orders_pb2.Payment(
            intent=INTENT, attempt_id=ATTEMPT_ID, received=common_pb2.Money(minor_units=900, currency="usd")
        ),
        reason=orders_pb2.QUARANTINE_REASON_AMOUNT_MISMATCH,
        quarantined_at=Timestamp(seconds=1_900_000_000),
        content=pb.CONTENT_STATE_READABLE,
        **changes,
    )


def written_off() -> pb.PaymentState:
    """Return a payment that an operator wrote off."""
    return state(settlement=pb.SETTLEMENT_WRITTEN_OFF, resolved_at=Timestamp(seconds=1_900_000_001))


async def quarantine(orders: OperatorStandIn, *words: str, stripe: SimulatedStripe | None = None) -> Completed:
    """Run a verb of quarantine. checkout-session has no attempt."""
    session = SessionStandIn()
    session.answer = Refusal(grpc.StatusCode.NOT_FOUND, "attempt_not_found")
    async with orders.served_at() as target, session.served_at() as session_target:
        variables = environment(orders=target, checkout_session=session_target)
        if stripe is not None:
            at_stripe = {"stripe": stripe.simulator.url, "key": stripe.simulator.settings.secret_key}
            variables = environment(orders=target, checkout_session=session_target, **at_stripe)
        return await holdfast(variables, "quarantine", *words, "--json")


@pytest.mark.parametrize(("second", "code"), [(state(), 1), (written_off(), 0)])
async def test_the_exit_code_of_a_list_says_whether_a_person_has_to_act(second: pb.PaymentState, code: int) -> None:
    """It reads every page."""
    orders = OperatorStandIn(
        pb.ListQuarantineResponse(payments=[written_off()], next_page_token="2"),
        pb.ListQuarantineResponse(payments=[second]),
    )

    listed = await quarantine(orders, "list", "--all")

    assert (listed.code, len(listed.document["payments"])) == (code, 2)
    assert [(each.all, each.page_token) for each in orders.requests] == [(True, ""), (True, "2")]


async def test_one_payment_of_a_newer_version_fails_no_list() -> None:
    """Its intent may be of a kind that this version does not know."""
    newer = state()
    newer.payment.intent.id, newer.payment.intent.kind = "new_1", NEWER
    orders = OperatorStandIn(pb.ListQuarantineResponse(payments=[newer, state()]))

    listed = await quarantine(orders, "list")

    assert [each["intent"] for each in listed.document["payments"]] == ["new_1", "pi_1"]


@pytest.mark.parametrize(("words", "told"), [((), "Nothing is unresolved"), (("--all",), "Nothing is quarantined")])
async def test_an_empty_list_says_so(words: tuple[str, ...], told: str) -> None:
    """An empty table would look like a failure."""
    async with OperatorStandIn(pb.ListQuarantineResponse()).served_at() as target:
        listed = await holdfast(environment(orders=target), "quarantine", "list", *words)

    assert (listed.code, told in listed.stdout) == (0, True)


async def test_a_settlement_that_another_step_preceded_is_exit_code_1() -> None:
    """The document says what stands."""
    stands = written_off()
    orders = OperatorStandIn(
        pb.ShowPaymentResponse(payment=stands), pb.SettlePaymentResponse(payment=stands, already_settled=True)
    )

    settled = await quarantine(orders, "settle", "pi_1", "--as", "order", *WHY)

    assert (settled.code, settled.document["payment"]["standsAs"]) == (1, "written_off")
    assert (orders.settled.step.operator, orders.settled.step.reason) == ("ada", "ticket 4711")


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("cart_required", "supply one with --cart"),
        ("attempt_has_purchase", "refund it, or write it off"),
        ("refund_under_way", "--as refunded --refund finishes it"),
        ("payment_not_found", "no payment has this intent id"),
    ],
)
async def test_a_refused_settlement_says_what_to_do(reason: str, told: str) -> None:
    """With exit code 1: a repeat would be refused, too."""
    orders = OperatorStandIn(Refusal(grpc.StatusCode.FAILED_PRECONDITION, reason))

    refused = await quarantine(orders, "settle", "pi_1", "--as", "order", *WHY)

    assert (refused.code, refused.stdout) == (1, "")
    assert told in refused.stderr


async def test_p6_a_supplied_cart_is_priced_by_stripe(sim: SimulatedStripe, tmp_path: Path) -> None:
    """The buyer's id is the operator's word; every price is Stripe's."""
    mug = await sim.api.v1.prices.create_async({"currency": "usd", "unit_amount": 500, "product_data": {"name": "Mug"}})
    cart = {"userId": "user_ada", "items": [{"priceId": mug.id, "quantity": 2}], "contact": BUYER}
    (tmp_path / "cart.json").write_text(json.dumps(cart | {"shippingAddress": ADDRESS}))
    shown = [pb.ShowPaymentResponse(payment=each) for each in (state(), written_off())]
    orders = OperatorStandIn(*shown, pb.SettlePaymentResponse(payment=written_off()))

    await quarantine(orders, "settle", "pi_1", "--as", "order", *WHY, "--cart", str(tmp_path / "cart.json"), stripe=sim)

    sent = orders.settled.context
    assert (sent.user_id, sent.contact.email, sent.shipping_address.city) == ("user_ada", BUYER["email"], "London")
    assert (sent.items[0].quantity, sent.items[0].unit_price.minor_units, sent.total.minor_units) == (2, 500, 1000)


async def test_p7_a_cart_that_is_not_valid_is_refused_without_its_values(tmp_path: Path) -> None:
    """Nothing is sent, and the message names places alone."""
    path = tmp_path / "cart.json"
    path.write_text(json.dumps({"items": [], "contact": BUYER | {"email": "ada at example.com"}, "total": 5}))
    orders = OperatorStandIn(pb.ShowPaymentResponse(payment=state()))

    refused = await quarantine(orders, "settle", "pi_1", "--as", "order", *WHY, "--cart", str(path))

    assert refused.code == 2
    assert "ada at example.com" not in refused.stderr
    assert all(place in refused.stderr for place in ("items: ", "contact.email: ", "total: "))


@pytest.mark.parametrize("options", [("--as", "refunded", "--cart", "x.json"), ("--as", "order", "--refund")])
async def test_an_option_of_another_settlement_is_refused(options: tuple[str, ...]) -> None:
    """With exit code 2: nothing was sent."""
    orders = OperatorStandIn()

    refused = await quarantine(orders, "settle", "pi_1", *options, *WHY)

    assert (refused.code, orders.requests) == (2, [])


async def test_p7_a_payment_is_shown_for_people_without_its_buyer() -> None:
    """A table of the same, with the cart and the steps."""
    action = pb.OperatorAction(
        step=pb.OperatorStep(operator="joan", reason="looked"),
        action="show_personal_data",
        before_json="{}",
        after_json="{}",
    )
    line = common_pb2.LineItem(name="Mug", quantity=2, unit_price=common_pb2.Money(minor_units=500, currency="usd"))
    context = common_pb2.CheckoutContext(items=[line], total=common_pb2.Money(minor_units=1000, currency="usd"))
    answer = pb.ShowPaymentResponse(payment=state(), context=context, actions=[action])

    document = (await quarantine(OperatorStandIn(answer), "show", "pi_1")).document
    async with OperatorStandIn(answer).served_at() as target:
        shown = await holdfast(environment(orders=target), "quarantine", "show", "pi_1")

    assert set(document["cart"]) == {"items", "shippingOptionId", "total"}
    assert document["steps"][0]["operator"] == "joan"
    assert all(word in shown.stdout for word in ("amount_mismatch", "900 usd", "Mug", "joan"))
