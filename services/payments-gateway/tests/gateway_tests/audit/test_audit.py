import asyncio
from datetime import timedelta
from typing import Final

import pytest

from payments_gateway.audit.audit import MAX_SUSPECTS
from payments_gateway.audit.differences import DifferenceKind
from payments_gateway.domain.attempts import DeleteReason, FoundAttempt
from payments_gateway.domain.audit import PaidIntent, RecordedPayment
from payments_gateway.domain.money import Money
from payments_gateway.domain.stripe_errors import StripeKeyRefused, StripeUnavailable
from servicekit.unavailable import ServiceUnavailable

from ..fake_services import FakeAttempts
from ..samples import FOREIGN_ATTEMPT_ID, INTENT_CREATED_AT, attempt, attempt_id_of
from .samples import NOTHING, PRICE, Intents, Payments, audit, decided, paid, set_up

EUROS: Final = Money(1250, "eur")
HALF: Final = Money(625, "usd")


class _CountedAttempts(FakeAttempts):
    """Attempts that notes who is asked for, and how many are at the same time."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.most_at_once = 0
        self._at_once = 0

    async def find(self, attempt_id: str) -> FoundAttempt | None:
        self.asked.append(attempt_id)
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        await asyncio.sleep(0)
        self._at_once -= 1
        return await super().find(attempt_id)


def spread(count: int) -> list[PaidIntent]:
    """Return intents, five of which were created in each second."""
    return [paid(number, created_at=INTENT_CREATED_AT - timedelta(seconds=number // 5)) for number in range(count)]


async def test_p3_equal_sides_agree() -> None:
    """Over many pages, in whatever order the two sides list the intents of one second."""
    intents = spread(100)
    setups = [set_up(1), set_up(2)]

    report = await audit(Intents(*intents, *setups), Payments(*map(decided, [*setups, *intents])))

    assert report.agrees
    assert (report.succeeded, report.purchases, report.quarantined, report.foreign) == (102, 102, 0, 0)


@pytest.mark.parametrize("lost", range(0, 20, 3))
async def test_p3_a_lost_payment_is_found(lost: int) -> None:
    """Succeeded at Stripe, and decided nowhere; its neighbours agree."""
    intents = spread(20)

    report = await audit(Intents(*intents), Payments(*map(decided, intents[:lost] + intents[lost + 1 :])))

    assert [(each.kind, each.intent, each.at_stripe, each.in_orders) for each in report.differences] == [
        (DifferenceKind.NOT_DECIDED, intents[lost].ref, PRICE, None)
    ]
    assert not report.agrees


@pytest.mark.parametrize("unpaid", range(0, 20, 3))
async def test_a_decision_without_a_payment_is_found(unpaid: int) -> None:
    """Such as one that was written by hand."""
    intents = spread(20)

    report = await audit(Intents(*intents[:unpaid], *intents[unpaid + 1 :]), Payments(*map(decided, intents)))

    assert [(each.kind, each.intent) for each in report.differences] == [(DifferenceKind.NOT_PAID, intents[unpaid].ref)]


@pytest.mark.parametrize(
    ("intent", "payment", "kinds"),
    [
        (paid(), decided(paid()), []),
        (paid(), decided(paid(), quarantined=True), []),
        (paid(), decided(paid(), received=HALF), ["amount"]),
        (paid(), decided(paid(), received=EUROS), ["amount"]),
        (paid(), decided(paid(), received=None), ["amount"]),
        (paid(refunded=HALF), decided(paid(refunded=HALF)), []),
        (paid(refunded=HALF), decided(paid()), ["refunds"]),
        (paid(), decided(paid(), refunded=(HALF,)), ["refunds"]),
        (paid(), decided(paid(), refunded=(NOTHING,)), []),
        (paid(refunded=HALF), decided(paid(), refunded=(EUROS,)), ["refunds"]),
        (paid(refunded=HALF), decided(paid(), refunded=(EUROS, HALF)), ["refunds"]),
        (paid(refunded=HALF), decided(paid(), received=EUROS), ["amount", "refunds"]),
        (set_up(), decided(set_up()), []),
        (set_up(), decided(set_up(), received=None, quarantined=True), []),
        (set_up(), decided(set_up(), received=PRICE), ["amount"]),
    ],
)
async def test_p5_sums_are_compared(intent: PaidIntent, payment: RecordedPayment, kinds: list[str]) -> None:
    """Sums that were received and given back, to the minor unit and in their currency."""
    report = await audit(Intents(intent), Payments(payment))

    assert [each.kind.value for each in report.differences] == kinds


async def test_payments_of_other_software_are_counted_and_left_out() -> None:
    """No attempt id, or one of another shop; a decision makes it ours, whatever its metadata says now."""
    foreign = [paid(1, attempt_id=None), paid(2, attempt_id=FOREIGN_ATTEMPT_ID), paid(3, attempt_id="anything")]
    edited = paid(4, attempt_id=None)

    report = await audit(Intents(*foreign, edited), Payments(decided(edited)))

    assert report.agrees
    assert (report.foreign, report.succeeded, report.purchases) == (3, 1, 1)


@pytest.mark.parametrize("stored_for", [paid(1), paid(2)])
async def test_p3_a_lost_payment_is_found_after_its_secret_was_rotated_away(stored_for: PaidIntent) -> None:
    """Any attempt under the named id makes it ours, as in fulfilment, whatever secret made the id."""
    attempts = FakeAttempts()
    attempts.put(attempt(stored_for.ref, attempt_id=FOREIGN_ATTEMPT_ID))
    lost = paid(1, attempt_id=FOREIGN_ATTEMPT_ID)

    report = await audit(Intents(lost), Payments(), attempts)

    assert [(each.kind, each.intent) for each in report.differences] == [(DifferenceKind.NOT_DECIDED, lost.ref)]
    assert (report.succeeded, report.foreign) == (1, 0)


async def test_p3_a_tombstone_makes_a_lost_payment_ours() -> None:
    """Its content is gone, and fulfilment would quarantine it."""
    attempts = FakeAttempts()
    await attempts.delete(FOREIGN_ATTEMPT_ID, DeleteReason.CANCELLED)

    report = await audit(Intents(paid(attempt_id=FOREIGN_ATTEMPT_ID)), Payments(), attempts)

    assert [each.kind for each in report.differences] == [DifferenceKind.NOT_DECIDED]


async def test_a_few_attempts_are_asked_for_at_once() -> None:
    """Those of undecided intents whose id another secret made; all are judged, and nobody else is asked for."""
    attempts = _CountedAttempts()
    names = [attempt_id_of(str(number), b"attempt-id-secret-of-other-shop.") for number in range(21)]
    foreign = [paid(number, attempt_id=name) for number, name in enumerate(names)]
    others = [paid(100), paid(101, attempt_id="anything"), paid(102, attempt_id=FOREIGN_ATTEMPT_ID)]

    report = await audit(Intents(*foreign, *others), Payments(decided(others[0]), decided(others[2])), attempts)

    assert (report.agrees, report.foreign, report.succeeded) == (True, 22, 2)
    assert sorted(attempts.asked) == sorted(names)
    assert attempts.most_at_once == 8


async def test_decisions_of_the_other_mode_are_left_out() -> None:
    """Stripe shows a test key no live payments."""
    report = await audit(Intents(), Payments(decided(paid(), livemode=True)))

    assert report.agrees
    assert report.purchases == 0


async def test_intents_that_were_created_long_before_are_covered() -> None:
    """Lists filter by creation, and a payment may succeed weeks after it; older ones are none of this audit's."""
    lost = [paid(days, created_at=INTENT_CREATED_AT - timedelta(days=days)) for days in (34, 35, 36)]

    report = await audit(Intents(*lost), Payments(), since=timedelta(hours=2))

    assert [each.intent for each in report.differences] == [lost[0].ref, lost[1].ref]


async def test_what_was_decided_meanwhile_is_no_difference() -> None:
    """The two sides are not read at the same moment."""
    intents = spread(3)
    payments = Payments(decided(intents[0]))
    payments.late = [decided(intents[1])]

    report = await audit(Intents(*intents), payments)

    assert [each.intent for each in report.differences] == [intents[2].ref]


async def test_a_payment_that_succeeded_meanwhile_is_no_difference() -> None:
    """Its page was read before it succeeded, and that of its decision after it was made."""
    intents = Intents()
    intents.late = [paid()]

    report = await audit(intents, Payments(decided(paid())))

    assert report.agrees


async def test_a_refund_between_the_two_reads_of_a_look_is_no_difference() -> None:
    """The look before it showed other sums, so that it is looked at once more."""
    intents, payments = Intents(paid()), Payments(decided(paid(), refunded=(HALF,)))
    intents.late = [paid(refunded=HALF)]

    def refund_the_rest() -> None:
        intents.late = [paid(refunded=PRICE)]
        payments.late = [decided(paid(refunded=PRICE))]

    intents.after_find = [refund_the_rest]

    report = await audit(intents, payments)

    assert report.agrees


async def test_refunds_that_differ_after_they_moved_are_found() -> None:
    """With the sums of the last look."""
    intents, payments = Intents(paid(refunded=HALF)), Payments(decided(paid()))
    intents.late = [paid(refunded=PRICE)]

    report = await audit(intents, payments)

    assert [(each.kind.value, each.at_stripe, each.in_orders) for each in report.differences] == [
        ("refunds", PRICE, None)
    ]


async def test_a_great_many_that_were_decided_meanwhile_are_no_difference() -> None:
    """All are looked at again, however many they are."""
    intents, payments = spread(2 * MAX_SUSPECTS + 7), Payments()
    payments.late = [decided(each) for each in intents[1:]]

    report = await audit(Intents(*intents), payments)

    assert ([each.intent for each in report.differences], report.further) == ([intents[0].ref], 0)


async def test_a_great_many_differences_are_counted() -> None:
    """An empty database must not fill the memory."""
    report = await audit(Intents(*spread(MAX_SUSPECTS + 7)), Payments())

    assert (len(report.differences), report.further) == (MAX_SUSPECTS, 7)
    assert not report.agrees


@pytest.mark.parametrize("failure", [StripeUnavailable(), ServiceUnavailable("orders")])
async def test_an_outage_is_waited_for_within_bounds(failure: Exception) -> None:
    """The page is asked for again, and the sweep goes on where it was."""
    intents, payments = Intents(*spread(10)), Payments(*map(decided, spread(10)))
    (intents if isinstance(failure, StripeUnavailable) else payments).failures = [failure] * 2

    with pytest.raises(type(failure)):
        await audit(intents, payments, pauses=[0.0])
    report = await audit(intents, payments, pauses=[0.0])

    assert (report.agrees, report.succeeded) == (True, 10)


async def test_a_refused_key_is_not_waited_for() -> None:
    """Only a person can help."""
    intents = Intents()
    intents.failures = [StripeKeyRefused()] * 2

    with pytest.raises(StripeKeyRefused):
        await audit(intents, Payments(), pauses=[0.0])

    assert intents.asked == 1
