"""One buyer with three tabs, back buttons, retries, payments, faults and expiry, in any order (P3).

Hypothesis chooses the steps, on a real system that all examples share. What the second gateway begins is past its
pay-by when the next step is taken.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, TypeVar

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from devstack.stack_options import StackOptions

from .conftest import until
from .harness.buyer import PAYABLE, Buyer
from .harness.control_api import ControlApi
from .harness.interceptor import Ending, Moment
from .harness.outgoing_calls import OutgoingCall as Call
from .harness.shop import GOOD_CARD, Cart, Checkout, Reply, Shop
from .harness.system import System, running_system
from .timeouts import USUAL

PAY_BY_SECONDS: Final = 0.25
"""Of the second gateway: enough to store a checkout, and waited for after each answer."""
CHAINS: Final = 3
"""Checkouts that a buyer begins without replacing another."""
LINKS: Final = 20
"""Checkouts of a chain, after which the cart stays: further back than 32, a gateway does not follow a chain."""
FAILED: Final = frozenset({500, 503})
DECLINED: Final = "pm_card_chargeDeclined"
CHALLENGED: Final = "pm_card_threeDSecure2Required"
BANK_DEBIT: Final = "pm_usBankAccount"
BROKEN: Final = (
    *(Call.GET_ATTEMPT, Call.SAVE_ATTEMPT, Call.CLOSE_ATTEMPT, Call.DELETE_ATTEMPT, Call.GET_PURCHASE),
    *(Call.RECORD_PURCHASE, Call.CREATE_INTENT, Call.CANCEL_INTENT, Call.RETRIEVE_INTENT),
)
"""Calls that fail, before their effect or after it. What is left is what a kill at this line leaves."""
AT_STRIPE: Final = {
    "open": {"requires_payment_method"},
    "payment_failed": {"requires_payment_method"},
    "requires_action": {"requires_action"},
    "processing": {"processing", "succeeded"},
    "completed": {"succeeded"},
    "needs_review": {"succeeded"},
    "superseded": {"canceled"},
    "expired": {"canceled"},
}
"""Statuses of the intent at Stripe, by the status that the checkout shows."""

LIMITS: Final = settings(
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    max_examples=60,
    stateful_step_count=30,
    phases=[Phase.generate, Phase.shrink],
)

_PICKS: Final = st.integers(0, 30)
_MUGS: Final = st.integers(1, 3)
_EXPIRES: Final = st.sampled_from([False, False, True])
_FAULTS: Final = st.sampled_from([None] * 9 + [(call, moment) for call in BROKEN for moment in Moment])
Fault = tuple[Call, Moment] | None
Made = TypeVar("Made")


@dataclass(frozen=True)
class Runner:
    """The system, and the event loop in which its clients live."""

    system: System
    control_api: ControlApi
    loop: asyncio.AbstractEventLoop

    def run(self, steps: Coroutine[Any, Any, Made]) -> Made:
        """Run a coroutine from the thread of the state machine."""
        return asyncio.run_coroutine_threadsafe(steps, self.loop).result(60.0)


@dataclass(frozen=True)
class Request:
    """A request to initiate a checkout."""

    chain: Buyer
    """The checkouts that were granted from the chain's first one on."""
    cart: Cart
    key: str = field(default_factory=lambda: str(uuid.uuid4()))


@dataclass
class Tab:
    """A tab of the browser."""

    sent: Request | None = None
    """Its last request, which it may repeat."""
    shown: tuple[Buyer, Checkout] | None = None
    """The checkout that it shows, with its chain."""


class OneBuyer(RuleBasedStateMachine):
    """The steps of one buyer, and what must hold after each."""

    def __init__(self, runner: Runner) -> None:
        super().__init__()
        self.system, self.control_api, self.run = runner.system, runner.control_api, runner.run
        self.shops: list[Shop] = []
        self.tabs = [Tab() for _ in range(3)]
        self.chains: list[Buyer] = []
        self.paid: set[str] = set()
        """Ids of the succeeded intents."""
        self.expired: set[str] = set()
        """Ids of the attempts past their pay-by."""
        self.refunded: dict[str, str] = {}
        """The status that their order must have, by intent."""

    @initialize(signed_in=st.booleans())
    def arrive(self, *, signed_in: bool) -> None:
        """Open the shop at both gateways, and begin a checkout."""
        user_id = f"user-{uuid.uuid4()}" if signed_in else None

        async def open_shops() -> list[Shop]:
            return [self.system.shop(user_id=user_id, gateway=gateway) for gateway in range(2)]

        self.shops = self.run(open_shops())
        self.begin(0, 1, None, expires=False)

    @precondition(lambda self: len(self.chains) < CHAINS)
    @rule(tab=_PICKS, mugs=_MUGS, expires=_EXPIRES, fault=_FAULTS)
    def begin(self, tab: int, mugs: int, fault: Fault, *, expires: bool) -> None:
        """Begin a checkout that replaces nothing."""
        self.chains.append(Buyer(self.system, self.shops[0]))
        request = Request(self.chains[-1], self.system.cart(mug=mugs))
        self.run(self.send(self.tabs[tab % 3], request, fault, expires=expires))

    @rule(tab=_PICKS, source=_PICKS, mugs=_MUGS, expires=_EXPIRES, fault=_FAULTS)
    def change_the_cart(self, tab: int, source: int, mugs: int, fault: Fault, *, expires: bool) -> None:
        """Supersede the checkout that some tab shows."""
        chain, old = self.shown(source)
        if len(chain.granted) > LINKS:
            return
        request = Request(chain, self.system.cart(mug=mugs, tote=1).superseding(old.attempt_id))
        self.run(self.send(self.tabs[tab % 3], request, fault, expires=expires))

    @rule(source=_PICKS, expires=_EXPIRES)
    def change_the_cart_in_two_tabs_at_once(self, source: int, *, expires: bool) -> None:
        """Supersede one checkout twice at the same moment."""
        chain, old = self.shown(source)
        if len(chain.granted) > LINKS:
            return
        carts = [self.system.cart(**{each: 1}).superseding(old.attempt_id) for each in ("mug", "notebook")]

        async def both() -> None:
            await asyncio.gather(
                *(
                    self.send(tab, Request(chain, cart), at_once=True, expires=expires)
                    for tab, cart in zip(self.tabs, carts, strict=False)
                )
            )

        self.run(both())

    @rule(tab=_PICKS, fault=_FAULTS)
    def retry(self, tab: int, fault: Fault) -> None:
        """Repeat a tab's last request."""
        chosen = self.tabs[tab % 3]
        if chosen.sent:
            self.run(self.send(chosen, chosen.sent, fault, repeated=True))

    @rule(tab=_PICKS, back=_PICKS)
    def press_the_back_button(self, tab: int, back: int) -> None:
        """Show an earlier checkout of the chain, and read its status: it agrees with Stripe, and is not too kind."""
        chosen = self.showing[tab % len(self.showing)]
        chain, _ = self.shown(tab)
        checkout = chain.granted[back % len(chain.granted)]
        chosen.shown = chain, checkout
        shown = self.run(self.shops[0].status(checkout.attempt_id)).ok()["status"]

        assert self.run(chain.statuses())[checkout.intent_id] in AT_STRIPE[shown], shown
        assert not (shown in {"open", "payment_failed"} and checkout.attempt_id in self.expired)

    @rule(tab=_PICKS, newest=st.booleans(), card=st.sampled_from([GOOD_CARD, DECLINED]))
    def pay_by_card(self, tab: int, card: str, *, newest: bool) -> None:
        """Pay with the secret that a tab holds, whatever became of it, or with the newest of its chain."""
        self.pay(tab, card, newest=newest)

    @rule(tab=_PICKS, newest=st.booleans(), method=st.sampled_from([CHALLENGED, BANK_DEBIT]))
    def begin_to_pay(self, tab: int, method: str, *, newest: bool) -> None:
        """Pay with a card that 3-D Secure asks about, or by a debit that takes the bank days."""
        self.pay(tab, method, newest=newest)

    @rule(tab=_PICKS, succeed=st.booleans())
    def hear_from_the_bank(self, tab: int, *, succeed: bool) -> None:
        """Pass or fail a 3-D Secure challenge, or let a debit succeed or fail."""
        chain, _ = self.shown(tab)
        for intent_id, status in self.run(chain.statuses()).items():
            if status == "requires_action":
                self.run(self.control_api.pass_challenge(intent_id, succeed=succeed))
            elif status == "processing":
                self.run(self.control_api.settle_debit(intent_id, succeed=succeed))

    @rule(tab=_PICKS, fault=_FAULTS)
    def come_back_from_stripe(self, tab: int, fault: Fault) -> None:
        """Complete the checkout that a tab shows."""
        chain, checkout = self.shown(tab)
        reply = self.run(self.asked(lambda: self.shops[0].complete(checkout), fault))

        status = self.run(chain.statuses())[checkout.intent_id]
        expected = {"succeeded": 200, "processing": 202}.get(status, 409)
        assert reply.status == expected or (fault and reply.status in FAILED), (status, reply)

    @rule()
    def deliver_the_webhooks(self) -> None:
        """Let Stripe report what it has held back."""
        self.run(self.deliver())

    @rule(tab=_PICKS, half=st.booleans())
    def refund(self, tab: int, *, half: bool) -> None:
        """Give the money back, or half of it."""
        chain, _ = self.shown(tab)
        for checkout in chain.granted:
            if checkout.intent_id in self.paid - self.refunded.keys():
                amount = checkout.amount // 2 if half else checkout.amount
                self.refunded[checkout.intent_id] = "partially_refunded" if half else "refunded"
                refunds = self.system.stripe.v1.refunds
                self.run(refunds.create_async({"payment_intent": checkout.intent_id, "amount": amount}))

    @invariant()
    def nobody_can_pay_twice(self) -> None:
        """At most one secret of a chain has taken money or still can."""
        for chain in self.chains:
            statuses = self.run(chain.statuses())
            succeeded = [intent_id for intent_id, status in statuses.items() if status == "succeeded"]
            assert len(succeeded) <= 1, statuses
            assert len([status for status in statuses.values() if status != "canceled"]) <= 1, statuses
            self.paid.update(succeeded)

    def teardown(self) -> None:
        """Go on from the end of every chain, to one payment that is decided."""
        chains = [chain for chain in self.chains if chain.granted]
        try:
            for chain in chains:
                self.run(self.buy(chain))
            self.run(self.deliver())
            for chain in chains:
                self.run(self.assert_decided_once(chain))
        finally:
            for shop in self.shops:
                self.run(shop.close())

    @property
    def showing(self) -> list[Tab]:
        """The tabs that show a checkout."""
        return [tab for tab in self.tabs if tab.shown]

    def shown(self, tab: int) -> tuple[Buyer, Checkout]:
        """Return what one of them shows."""
        shown = self.showing[tab % len(self.showing)].shown
        if shown is None:
            raise LookupError("the tab shows no checkout")
        return shown

    def pay(self, tab: int, payment_method: str, *, newest: bool) -> None:
        """Confirm an intent at Stripe, which may refuse."""
        chain, shown = self.shown(tab)
        self.run(self.shops[0].pay(chain.granted[-1] if newest else shown, payment_method=payment_method))

    async def send(
        self,
        tab: Tab,
        request: Request,
        fault: Fault = None,
        *,
        repeated: bool = False,
        expires: bool = False,
        at_once: bool = False,
    ) -> None:
        """Initiate a checkout in a tab, and judge the answer by what Stripe shows."""
        tab.sent, chain = request, request.chain
        door = self.shops[expires]
        reply = await self.asked(lambda: chain.initiate(request.cart, key=request.key, door=door), fault)
        if reply.status == 200:
            tab.shown = chain, door.granted(reply)
        # A pay-by this short may pass before the attempt is stored.
        excused = {*(FAILED if fault or expires else ()), *({422} if expires else ())}
        if at_once:
            assert reply.status in {200, 409, *excused}, reply
        elif reply.status not in excused:
            await self.judge(chain, reply, repeated=repeated)
        if reply.status == 200 and expires:
            await self.until_expired(reply)

    async def judge(self, chain: Buyer, reply: Reply, *, repeated: bool = False) -> None:
        """Assert that the answer lets the buyer pay, or says what keeps them from it."""
        statuses = await chain.statuses()
        if reply.status == 200:
            granted = chain.granted[-1]
            assert statuses[granted.intent_id] in PAYABLE
            assert granted.attempt_id not in self.expired
            return
        assert reply.status == 409, reply
        match reply.problem:
            case "already_paid":
                paid = [each for each in chain.granted if statuses[each.intent_id] == "succeeded"]
                assert paid, statuses
                purchase = reply.body.get("purchase")
                assert purchase or self.refunded.get(paid[0].intent_id) == "refunded"
                assert not purchase or purchase["order"]["checkoutAttemptId"] == paid[0].attempt_id
            case "payment_processing":
                assert "processing" in statuses.values()
            case problem:
                assert (problem, repeated) == ("attempt_closed", True)

    async def asked(self, ask: Callable[[], Awaitable[Reply]], fault: Fault) -> Reply:
        """Send a request during which one of the gateway's calls fails."""
        if fault:
            call, moment = fault
            self.system.proxies.on(call).interceptor.add_fault(call, moment, Ending.FAILS)
        try:
            return await ask()
        finally:
            if fault:
                self.system.proxies.reset()

    async def until_expired(self, reply: Reply) -> None:
        """Wait until a checkout is past its pay-by."""
        pay_by = datetime.fromisoformat(reply.body["payBy"])

        async def has_passed() -> bool:
            return datetime.now(UTC) > pay_by

        await until(has_passed, "the pay-by")
        self.expired.add(reply.body["checkoutAttemptId"])

    async def deliver(self) -> None:
        """Release what Stripe holds back, and wait for the answers."""
        await self.control_api.release_deliveries()
        await self.control_api.until_idle()

    async def buy(self, chain: Buyer) -> None:
        """Begin again from the newest checkout of a chain, and pay it unless one is paid."""
        reply = await chain.initiate(self.system.cart(tote=2).superseding(chain.granted[-1].attempt_id))
        await self.judge(chain, reply)
        if reply.status == 200:
            (await self.shops[0].pay(chain.granted[-1])).ok()
        for intent_id, status in (await chain.statuses()).items():
            if status == "processing":
                await self.control_api.settle_debit(intent_id)

    async def assert_decided_once(self, chain: Buyer) -> None:
        """Assert that the chain's one payment is a purchase of its sum, or was refunded before it could be."""
        statuses, orders_db = await chain.statuses(), self.system.orders_db
        checkouts = {each.intent_id: each for each in chain.granted}
        payments = [row for each in checkouts.values() for row in await orders_db.payments_of(each.attempt_id)]
        orders = [row for each in checkouts.values() for row in await orders_db.orders_of(each.attempt_id)]

        assert [row["intent_id"] for row in payments] == [each for each in checkouts if statuses[each] == "succeeded"]
        assert len(payments) == 1, payments
        decision, paid = payments[0], checkouts[payments[0]["intent_id"]]
        expected = self.refunded.get(paid.intent_id, "paid")
        if decision["outcome"] == "purchase":
            assert {(row["total_minor"], row["status"]) for row in orders} == {(paid.amount, expected)}
        else:
            assert (decision["quarantine_reason"], expected, orders) == ("refunded", "refunded", [])
        # Content of a refunded payment stays: the refund may fail.
        has_content = await self.system.attempt_store.has_content(paid.attempt_id)
        assert has_content is (decision["outcome"] == "quarantined")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def runner(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Runner]:
    """Run a gateway with the usual pay-by and one with a short one; Stripe holds its webhooks back."""
    once = {**USUAL, "STRIPE_MAX_RETRIES": "0"}
    gateways = {"gateway": once, "gateway-2": {**once, "PAY_BY_HOURS": str(PAY_BY_SECONDS / 3600)}}
    options = StackOptions(gateways=2, durable=False, seed=11, settings=gateways)
    async with (
        running_system(tmp_path_factory.mktemp("holdfast"), options=options, with_proxies=True) as system,
        ControlApi(system.backend.addresses.stripe_api) as control_api,
    ):
        await control_api.add_webhook_rule(types=["*"], hold=True, count=None)
        yield Runner(system, control_api, asyncio.get_running_loop())


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_p3_one_buyer_pays_once_whatever_they_do(runner: Runner) -> None:
    """No chain is paid twice or can be, none ends where the buyer cannot go on, and each payment is decided once."""
    # The parameter is annotated as a class; any factory is accepted.
    machine: Any = partial(OneBuyer, runner)

    await asyncio.to_thread(run_machine, machine, settings=LIMITS)
