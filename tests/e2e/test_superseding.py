"""A changed cart supersedes a checkout: of a chain at most one can be paid, whichever tab was last (P3)."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Final

import pytest
import pytest_asyncio

from .conftest import Waiter
from .harness.buyer import Buyer, payable_intents
from .harness.control_api import ControlApi
from .harness.interceptor import Ending, Moment
from .harness.outgoing_calls import OutgoingCall as Call
from .harness.products import run_concurrently
from .harness.shop import Cart, Checkout, Line, Shop
from .harness.system import System

SUCCEEDED: Final = "payment_intent.succeeded"
CREATE: Final = "/v1/payment_intents"
BANK_DEBIT: Final = "pm_usBankAccount"
STEPS: Final = (Call.CREATE_INTENT, Call.SAVE_ATTEMPT, Call.CLOSE_ATTEMPT, Call.CANCEL_INTENT, Call.DELETE_ATTEMPT)
"""The calls that change something, in their order."""
CHAIN: Final = 5


@pytest.fixture
def buyer(system: System, shop: Shop) -> Buyer:
    """Return a guest."""
    return Buyer(system, shop)


@pytest_asyncio.fixture(loop_scope="session")
async def other_tab(system: System, control_api: ControlApi) -> AsyncIterator[Shop]:
    """Open the shop in another tab, which another gateway serves."""
    async with system.shop(gateway=1) as opened:
        yield opened


async def test_p3_two_tabs_that_close_at_once_leave_one_payable(
    system: System, buyer: Buyer, other_tab: Shop, settled: Waiter
) -> None:
    """Both tabs have read the open checkout before either closes it."""
    old = await buyer.begin(system.cart(mug=1))
    held = [system.proxies.break_before(Call.CLOSE_ATTEMPT) for _ in range(2)]

    tabs = [
        asyncio.create_task(buyer.initiate(system.cart(mug=2).superseding(old.attempt_id))),
        asyncio.create_task(buyer.initiate(system.cart(mug=3).superseding(old.attempt_id), door=other_tab)),
    ]
    await asyncio.gather(*(each.hit() for each in held))
    for each in held:
        each.release()
    replies = await asyncio.gather(*tabs)

    assert {reply.status for reply in replies} <= {200, 409}
    assert len(await buyer.payable()) == 1
    await assert_bought_once(buyer, settled)


@pytest.mark.parametrize("rounds", [12, pytest.param(200, marks=pytest.mark.long)])
async def test_p3_many_pairs_of_tabs_at_once_leave_one_payable_each(
    system: System, shop: Shop, other_tab: Shop, rounds: int
) -> None:
    """Nothing is held: the two requests meet wherever they do."""

    async def one_round() -> int:
        buyer = Buyer(system, shop)
        old = await buyer.begin(system.cart(mug=1))
        await asyncio.gather(
            buyer.initiate(system.cart(mug=2).superseding(old.attempt_id)),
            buyer.initiate(system.cart(mug=3).superseding(old.attempt_id), door=other_tab),
        )
        return len(await buyer.pay_with_every_secret())

    succeeded = await run_concurrently([one_round] * rounds, at_once=6)

    assert succeeded == [1] * rounds


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
async def test_p3_a_tab_that_is_overtaken_at_any_step_leaves_one_payable(
    system: System, buyer: Buyer, other_tab: Shop, settled: Waiter, step: Call
) -> None:
    """The answer of one step is late, and meanwhile another tab supersedes the same checkout."""
    old = await buyer.begin(system.cart(mug=1))
    held = system.proxies.break_after(step)

    slow = asyncio.create_task(buyer.initiate(system.cart(mug=2).superseding(old.attempt_id)))
    await held.hit()
    overtaking = await buyer.initiate(system.cart(mug=3).superseding(old.attempt_id), door=other_tab)
    held.release()
    overtaken = await slow

    assert overtaking.status == 200
    assert overtaken.status in {200, 409}
    assert len(await buyer.payable()) == 1
    await assert_bought_once(buyer, settled)


async def test_p3_the_back_button_leaves_the_last_cart_payable(system: System, buyer: Buyer, settled: Waiter) -> None:
    """A became B; the buyer goes back to A and makes it C: the secrets of A and B pay no more."""
    first = await buyer.begin(system.cart(mug=1))
    await buyer.begin(system.cart(mug=2).superseding(first.attempt_id))

    last = await buyer.begin(system.cart(mug=3).superseding(first.attempt_id))

    assert await buyer.payable() == [last.intent_id]
    assert await assert_bought_once(buyer, settled) == last


@pytest.mark.parametrize("go_back", range(CHAIN + 1))
async def test_p3_a_chain_of_five_successors_has_one_end(
    system: System, buyer: Buyer, settled: Waiter, go_back: int
) -> None:
    """From wherever in the chain the buyer goes on, only the new checkout can be paid."""
    await buyer.begin(system.cart(mug=1))
    for mugs in range(CHAIN):
        await buyer.begin(system.cart(mug=2 + mugs).superseding(buyer.granted[-1].attempt_id))

    last = await buyer.begin(system.cart(tote=1).superseding(buyer.granted[go_back].attempt_id))

    assert await buyer.payable() == [last.intent_id]
    assert await assert_bought_once(buyer, settled) == last


@pytest.mark.parametrize("reported", [True, False])
async def test_p3_going_back_behind_a_paid_checkout_shows_its_purchase(
    system: System, buyer: Buyer, control_api: ControlApi, settled: Waiter, *, reported: bool
) -> None:
    """A became B and B is paid, whether or not Stripe has reported it: A cannot become C."""
    if not reported:
        await control_api.add_webhook_rule(types=[SUCCEEDED], hold=True)
    first = await buyer.begin(system.cart(mug=1))
    paid = await buyer.begin(system.cart(mug=2).superseding(first.attempt_id))
    (await buyer.shop.pay(paid)).ok()
    if reported:
        await settled(paid)
    before = await payable_intents(system)

    refused = await buyer.initiate(system.cart(mug=3).superseding(first.attempt_id))

    assert (refused.status, refused.problem) == (409, "already_paid")
    assert refused.body["purchase"]["order"]["checkoutAttemptId"] == paid.attempt_id
    assert await payable_intents(system) == before
    assert await assert_bought_once(buyer, settled) == paid


async def test_p3_a_middle_link_that_was_paid_ends_the_chain(
    system: System, buyer: Buyer, control_api: ControlApi, other_tab: Shop, settled: Waiter
) -> None:
    """A is paid just before its cancel, so its successor B is given up: whoever comes from A or B hears of A."""
    await control_api.add_webhook_rule(types=[SUCCEEDED], hold=True)
    paid = await buyer.begin(system.cart(mug=1))
    held = system.proxies.break_before(Call.CANCEL_INTENT)
    key, cart = str(uuid.uuid4()), system.cart(mug=2).superseding(paid.attempt_id)
    superseding = asyncio.create_task(buyer.initiate(cart, key=key))
    await held.hit()
    (await buyer.shop.pay(paid)).ok()
    held.release()

    replies = [
        await superseding,
        await buyer.initiate(cart, key=key),
        await buyer.initiate(system.cart(mug=3).superseding(paid.attempt_id), door=other_tab),
    ]

    assert [(reply.status, reply.problem) for reply in replies] == [(409, "already_paid")] * 3
    assert {reply.body["purchase"]["order"]["checkoutAttemptId"] for reply in replies} == {paid.attempt_id}
    assert await assert_bought_once(buyer, settled) == paid


@pytest.mark.parametrize("succeeds", [True, False])
async def test_p3_a_debit_at_the_bank_lets_no_other_checkout_begin(
    system: System, buyer: Buyer, control_api: ControlApi, settled: Waiter, *, succeeds: bool
) -> None:
    """A became B, and B is processing: A becomes C only once the bank has declined."""
    first = await buyer.begin(system.cart(mug=1))
    second = await buyer.begin(system.cart(mug=2).superseding(first.attempt_id))
    await control_api.pay(second.intent_id, payment_method=BANK_DEBIT)
    before = await payable_intents(system)

    meanwhile = await buyer.initiate(system.cart(mug=3).superseding(first.attempt_id))
    payable = await payable_intents(system)
    await control_api.settle_debit(second.intent_id, succeed=succeeds)
    afterwards = await buyer.initiate(system.cart(mug=3).superseding(first.attempt_id))

    assert (meanwhile.status, meanwhile.problem) == (409, "payment_processing")
    assert meanwhile.body["checkoutAttemptId"] == second.attempt_id
    assert payable == before
    assert (afterwards.status, afterwards.problem) == ((409, "already_paid") if succeeds else (200, ""))
    await assert_bought_once(buyer, settled)


@pytest.mark.parametrize("failure", ["unknown price", "Stripe fails", "checkout-session fails"])
async def test_a_failing_new_cart_leaves_the_old_checkout_open(
    system: System, buyer: Buyer, control_api: ControlApi, settled: Waiter, failure: str
) -> None:
    """Nothing of the old checkout is touched before the new one is saved."""
    old = await buyer.begin(system.cart(mug=1))
    cart = system.cart(mug=2).superseding(old.attempt_id)
    match failure:
        case "unknown price":
            cart = Cart([Line("price_that_nobody_made")]).superseding(old.attempt_id)
        case "Stripe fails":
            await control_api.add_fault(kind="error_before", method="POST", path=CREATE, count=None)
        case _:
            system.proxies.checkout_session.interceptor.add_fault(
                Call.SAVE_ATTEMPT, Moment.BEFORE_EFFECT, Ending.BREAKS
            )

    refused = await buyer.initiate(cart)
    status = (await buyer.shop.status(old.attempt_id)).ok()["status"]

    assert refused.status == (409 if failure == "unknown price" else 503)
    assert status == "open"
    assert await assert_bought_once(buyer, settled) == old


@pytest.mark.parametrize("failing", [Call.CLOSE_ATTEMPT, Call.CANCEL_INTENT], ids=lambda call: call.name)
async def test_p3_a_retry_that_finds_its_attempt_finishes_the_superseding(
    system: System, buyer: Buyer, settled: Waiter, failing: Call
) -> None:
    """The new attempt is saved and the old checkout lives: no secret is released until it is cancelled."""
    old = await buyer.begin(system.cart(mug=1))
    key, cart = str(uuid.uuid4()), system.cart(mug=2).superseding(old.attempt_id)
    system.proxies.on(failing).interceptor.add_fault(failing, Moment.BEFORE_EFFECT, Ending.BREAKS)
    unfinished = [await buyer.initiate(cart, key=key) for _ in range(2)]
    payable = await buyer.payable()
    system.proxies.reset()

    (await buyer.initiate(cart, key=key)).ok()

    assert [reply.status for reply in unfinished] == [503, 503]
    assert payable == [old.intent_id]
    assert await buyer.payable() == [buyer.granted[-1].intent_id] != payable
    assert await assert_bought_once(buyer, settled) == buyer.granted[-1]


@pytest.mark.parametrize("intruder_id", [None, "user-2"])
async def test_p6_somebody_elses_checkout_is_not_superseded(
    system: System, members_shop: Shop, control_api: ControlApi, intruder_id: str | None
) -> None:
    """Neither the open checkout nor the one that took its place: 404, and theirs can be paid."""
    owner = Buyer(system, members_shop)
    first = await owner.begin(system.cart(mug=1))
    second = await owner.begin(system.cart(mug=2).superseding(first.attempt_id))
    before = await payable_intents(system)

    async with system.shop(user_id=intruder_id, gateway=1) as door:
        intruder = Buyer(system, door)
        replies = [await intruder.initiate(system.cart(tote=1).superseding(each.attempt_id)) for each in owner.granted]

    assert [(reply.status, reply.problem) for reply in replies] == [(404, "checkout_not_found")] * 2
    assert await payable_intents(system) == before
    assert (await members_shop.status(second.attempt_id)).ok()["status"] == "open"
    assert await owner.pay_with_every_secret() == [second]


async def assert_bought_once(buyer: Buyer, settled: Waiter) -> Checkout:
    """Pay with every secret that the buyer was ever given; assert that one payment succeeds and is the purchase."""
    succeeded = await buyer.pay_with_every_secret()

    assert len(succeeded) == 1
    await settled(succeeded[0])
    payments = [row for each in buyer.granted for row in await buyer.system.orders_db.payments_of(each.attempt_id)]
    decisions = {row["intent_id"]: (row["outcome"], row["amount_minor"]) for row in payments}
    assert decisions == {succeeded[0].intent_id: ("purchase", succeeded[0].amount)}
    return succeeded[0]
