"""Each outgoing call of the gateway meets each fault that it can meet, before its effect and after it.

The rows are played first, many beside each other; then each test looks at one row: that its fault was met,
what the client was told, what was left, and that asking again ended in exactly one purchase.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pytest
import pytest_asyncio

from devstack.stack_options import StackOptions

from .adjustment_situations import AdjustmentRoad
from .checkout_deeds import Begin
from .deadlines import HURRIED, LONGEST_SECONDS
from .deeds import Deed, Left, Scene
from .fault_table import DEEDS, ROWS, GrpcFault, Place, Queue, Row, Told
from .harness.checkpoint import Call, Mishap, Moment
from .harness.grpc_proxy import GrpcProxy
from .harness.http_proxy import road_of
from .harness.knobs import Knobs
from .harness.shop import Reply, Shop
from .harness.system import running_system
from .purchase_deeds import Return
from .situations import Road

pytestmark = pytest.mark.timeout(300)
"""The first test waits for the whole table, which takes a busy machine its time."""

AT_ONCE: Final = 12
PAYABLE: Final = frozenset({"requires_payment_method", "requires_confirmation", "requires_action"})
IN_THE_TABLE: Final = {row.place.road for row in ROWS}
NOT_IN_THE_TABLE: Final = {"/grpc.health.v1.Health/Check": "asked for by readiness probes, not by buyers or Stripe"}

Taken = Mapping[type[Deed], Counter[str]]


@dataclass(frozen=True)
class Snapshot:
    """Everything that was there at one moment."""

    payable: Mapping[str, list[str]]
    """By attempt id, the ids of its intents that could be paid."""
    contents: frozenset[str]
    """Ids of the attempts whose content is stored."""
    orders: Counter[str]
    """By attempt id; so is the next."""
    quarantined: Counter[str]
    shown: Mapping[str, Mapping[str, Any]]
    """By attempt id, the orders as the signed-in user sees them."""

    def left_of(self, deed: Deed, released: Iterable[str]) -> Left:
        """Return what there is of a deed's attempts, when these secrets have been given."""
        ids = deed.attempt_ids
        payable = {intent_id for attempt_id in ids for intent_id in self.payable.get(attempt_id, [])}
        return Left(
            payable=len(payable),
            released=len(payable & {secret.partition("_secret_")[0] for secret in released}),
            attempts=len(ids & self.contents),
            orders=sum(self.orders[attempt_id] for attempt_id in ids),
            quarantined=sum(self.quarantined[attempt_id] for attempt_id in ids),
            refunded=self._sum_shown(ids, "refundedAmount"),
            disputed=self._sum_shown(ids, "disputedAmount"),
        )

    def _sum_shown(self, attempt_ids: Iterable[str], name: str) -> int:
        return sum(self.shown.get(attempt_id, {}).get(name) or 0 for attempt_id in attempt_ids)


@dataclass
class Act:
    """A row, played."""

    row: Row
    deed: Deed
    mishap: Mishap | None = None
    fault_id: str = ""
    hits: int = 0
    told: Told | None = None
    seconds: float = 0.0
    released: frozenset[str] = field(default=frozenset(), repr=False)
    """The secrets that had been given when the client was told."""
    left: Left | None = None
    """Once the client was told, while the fault lasted."""
    afterwards: Sequence[int] = ()
    """Statuses of what was asked once the fault was over."""
    ended: Left | None = None
    """In the very end."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    """Run two gateways in a hurry, at a Stripe that reports nothing by itself."""
    options = StackOptions(gateways=2, durable=False, seed=8, settings={"gateway": HURRIED, "gateway-2": HURRIED})
    folder = tmp_path_factory.mktemp("holdfast")
    async with (
        running_system(folder, options=options, with_proxies=True, straight_to_stripe=True) as system,
        Knobs(system.backend.addresses.stripe_api) as knobs,
        system.shop() as shop,
        system.shop(user_id="user-1") as member,
    ):
        await knobs.deliver(types=["*"], drop=True, count=None)
        yield Scene(system, knobs, shop, member)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def taken(scene: Scene) -> Taken:
    """Do each deed undisturbed, and record which calls it takes."""
    recorded = {}
    for number, kind in enumerate(DEEDS, start=len(ROWS) + 1):
        deed = kind(scene, number)
        await deed.prepare()
        mark = await scene.knobs.requests_so_far()
        (await deed.ask(scene.shop)).ok()
        at_stripe = [
            road_of(request["method"], request["path"]) for request in await scene.knobs.requests("*", "*", after=mark)
        ]
        recorded[kind] = Counter([*at_stripe, *(call.road for call in scene.system.faults.calls if _is_of(deed, call))])
    return recorded


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def played(request: pytest.FixtureRequest, scene: Scene, taken: Taken) -> Mapping[str, Act]:
    """Play the rows of the tests that are run; return them by name."""
    wanted = {id(row) for row in rows_of(request.session.items)}
    acts = [Act(row, row.place.deed(scene, number)) for number, row in enumerate(ROWS, start=1) if id(row) in wanted]
    async with scene.system.shop(gateway=1) as second_door:
        beside = [act for act in acts if act.row.queue is Queue.NONE]
        await _few_at_once(act.deed.prepare() for act in beside)
        await asyncio.gather(
            _few_at_once(_do(act, scene, scene.shop) for act in beside if not act.row.takes_long),
            *(_do(act, scene, scene.shop) for act in beside if act.row.takes_long),
            _one_by_one(scene, scene.shop, [act for act in acts if act.row.queue is Queue.CATALOGUE]),
            _one_by_one(scene, scene.shop, [act for act in acts if act.row.queue is Queue.CUSTOMERS]),
            _one_by_one(scene, second_door, [act for act in acts if act.row.queue is Queue.SLOWED_DOWN]),
        )
    told = await _snapshot(scene)
    scene.system.faults.disarm()
    await scene.knobs.clear_faults()
    await _few_at_once(_see_through(act) for act in acts)
    ended = await _snapshot(scene)
    for act in acts:
        act.left = told.left_of(act.deed, act.released)
        act.ended = ended.left_of(act.deed, act.deed.secrets)
    return {act.row.name: act for act in acts}


@pytest.mark.parametrize(
    "row",
    [pytest.param(row, id=row.name, marks=[] if row.is_telling else [pytest.mark.long]) for row in ROWS],
)
async def test_p3_a_fault_is_told_and_harms_nobody(played: Mapping[str, Act], row: Row) -> None:
    """The fault was met; the client was told in time; what was left is exact; asking again ended in one purchase."""
    act = played[row.name]

    assert act.hits == row.fault.count if row.fault.count else act.hits >= 1
    assert act.told == row.told
    assert act.seconds < LONGEST_SECONDS
    assert act.left == row.left
    assert set(act.afterwards) == {200}
    assert act.ended == replace(_settled(row.place.deed), payable=row.forgotten)


@pytest.mark.parametrize("kind", DEEDS, ids=lambda kind: kind.__name__)
async def test_every_call_of_a_deed_has_its_rows(taken: Taken, kind: type[Deed]) -> None:
    """Undisturbed, a deed takes exactly the calls that it names, and the table spoils each of them somewhere."""
    assert taken[kind] == Counter(kind.calls)
    assert set(kind.calls) <= IN_THE_TABLE


async def test_every_call_that_was_seen_is_in_the_table(scene: Scene, taken: Taken, played: Mapping[str, Act]) -> None:
    """Whatever the gateways called while the table was played, and all that the situations of crashes name."""
    seen = scene.system.faults.roads.union(*taken.values())

    assert {*Road, *AdjustmentRoad} <= IN_THE_TABLE
    assert seen <= IN_THE_TABLE | NOT_IN_THE_TABLE.keys()


@pytest.mark.parametrize("moment", Moment, ids=lambda moment: moment.name)
@pytest.mark.parametrize(("kind", "road"), [(Begin, Road.SAVE_ATTEMPT), (Return, Road.RECORD_PURCHASE)])
async def test_p3_a_connection_that_is_cut_harms_nobody(
    scene: Scene, kind: type[Deed], road: Road, moment: Moment
) -> None:
    """The connection to a service ends in the middle of a call that stores: told in time, and bought once."""
    deed = kind(scene, len(ROWS) + len(DEEDS) + 1)
    await deed.prepare()
    proxy = scene.system.faults.on(road)
    assert isinstance(proxy, GrpcProxy)
    catch = proxy.checkpoint.hold_next if moment is Moment.BEFORE_EFFECT else proxy.checkpoint.swallow_next
    trap = catch(road)

    asking = asyncio.create_task(deed.ask(scene.shop))
    await trap.sprung()
    await proxy.cut()
    reply = await asking
    trap.drop()
    afterwards = await deed.see_it_through()

    assert reply.status in {200, 503}  # by whether gRPC's own repeat may be sent
    assert set(afterwards) == {200}
    assert (await _snapshot(scene)).left_of(deed, deed.secrets) == _settled(kind)


@pytest.mark.parametrize(
    "place", {row.place: None for row in ROWS}, ids=lambda place: f"{place.deed.__name__}-{place.road.name}"
)
def test_every_call_has_a_telling_row_for_both_moments(place: Place) -> None:
    """What is played in every run spoils each call before its effect and after it."""
    played = {row.fault.moment for row in ROWS if row.place == place and row.is_telling}

    assert played == set(Moment)


def rows_of(tests: Iterable[pytest.Item]) -> Iterator[Row]:
    """Yield the rows that these tests look at."""
    for test in tests:
        if isinstance(test, pytest.Function) and test.originalname == test_p3_a_fault_is_told_and_harms_nobody.__name__:
            row = test.callspec.params["row"]
            assert isinstance(row, Row)
            yield row


def _settled(kind: type[Deed]) -> Left:
    """Return what every deed ends in: one purchase, or one payment set aside; no content, nothing to pay.

    What was taken back is known.
    """
    done = kind.done
    return replace(done, payable=0, released=0, attempts=0, orders=1 - done.quarantined)


async def _do(act: Act, scene: Scene, door: Shop) -> None:
    """Set the row's fault, do the deed, and note what the client is told."""
    await _set_fault(act, scene)
    began = time.monotonic()
    reply = await act.deed.ask(door)
    act.seconds = time.monotonic() - began
    act.told = _told(reply)
    act.released = frozenset(act.deed.secrets)
    act.hits = act.mishap.hits if act.mishap else await scene.knobs.hits(act.fault_id)


def _told(reply: Reply) -> Told:
    return Told(reply.status, reply.problem, reply.headers.get("Retry-After"))


async def _set_fault(act: Act, scene: Scene) -> None:
    place, fault = act.row.place, act.row.fault
    if isinstance(fault, GrpcFault):
        act.mishap = scene.system.faults.on(place.road).checkpoint.spoil(
            place.road,
            fault.moment,
            fault.ending,
            concerns=lambda call: _is_of(act.deed, call),
            skip=place.skip,
            count=fault.count,
        )
        return
    act.fault_id = await scene.knobs.fault(
        kind=fault.kind,
        method=place.road.partition(" ")[0],
        path=act.deed.path_at_stripe(place.road),
        params=act.deed.params_at_stripe(place.road),
        count=fault.count,
        **fault.options,
    )


def _is_of(deed: Deed, call: Call) -> bool:
    return call.headers.get("x-request-id") == deed.request_id


async def _one_by_one(scene: Scene, door: Shop, acts: Iterable[Act]) -> None:
    """Play the rows of a queue."""
    for act in acts:
        await act.deed.prepare()
        await _do(act, scene, door)
        if act.fault_id:
            await scene.knobs.remove_fault(act.fault_id)
        if act.row.fault.name == "rate_limit" and act.told is not None:
            await asyncio.sleep(int(act.told.retry_after or 0))  # as the client was told: then the next row must pass


async def _see_through(act: Act) -> None:
    act.afterwards = await act.deed.see_it_through()


async def _few_at_once(jobs: Iterable[Awaitable[None]]) -> None:
    waiting = iter(jobs)

    async def work() -> None:
        for job in waiting:
            await job

    async with asyncio.TaskGroup() as workers:
        for _ in range(AT_ONCE):
            workers.create_task(work())


async def _snapshot(scene: Scene) -> Snapshot:
    system = scene.system
    payable: dict[str, list[str]] = {}
    listed = await system.stripe.v1.payment_intents.list_async({"limit": 100})
    async for intent in listed.auto_paging_iter():
        if intent.status in PAYABLE:
            payable.setdefault(intent.metadata["checkoutAttemptId"], []).append(intent.id)
    setups = await system.stripe.v1.setup_intents.list_async({"limit": 100})
    async for setup in setups.auto_paging_iter():
        if setup.status in PAYABLE:
            payable.setdefault(str(setup.to_dict()["metadata"]["checkoutAttemptId"]), []).append(setup.id)
    orders = await system.books.rows("SELECT checkout_attempt_id::text AS id FROM orders")
    quarantined = await system.books.quarantined()
    return Snapshot(
        payable=payable,
        contents=frozenset(key.rpartition(":")[2] for key in await system.attempts.content_keys()),
        orders=Counter(str(row["id"]) for row in orders),
        quarantined=Counter(str(row["attempt_id"]) for row in quarantined),
        shown={order["checkoutAttemptId"]: order async for order in _orders_of(scene.member)},
    )


async def _orders_of(member: Shop) -> AsyncIterator[dict[str, Any]]:
    """Yield all orders of a user, page by page."""
    page = (await member.orders(limit="100")).ok()
    while True:
        for order in page["orders"]:
            yield order
        if page["nextCursor"] is None:
            return
        page = (await member.orders(limit="100", cursor=page["nextCursor"])).ok()
