"""What a request must be: each rule has a request that breaks it alone."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from checkout.common.v1 import common_pb2
from checkout.session.v1 import checkout_session_pb2 as pb
from checkout_session.api.validation import MAX_LINES, attempt_id_violations, reason_violations, save_violations
from checkout_session.messages import CLOSE_REASONS, DELETE_REASONS
from servicekit.enum_codec import EnumCodec

MakeRequest = Callable[..., pb.SaveAttemptRequest]
Spoil = Callable[[pb.SaveAttemptRequest], object]


def fields_refused(request: pb.SaveAttemptRequest) -> list[str]:
    """Return the paths of the violations."""
    return [violation.field for violation in save_violations(request)]


def line(number: int, **fields: object) -> common_pb2.LineItem:
    """Return a valid line, different for each number."""
    item = common_pb2.LineItem(
        price_id=f"price_{number}",
        product_id=f"prod_{number}",
        name="Plate",
        quantity=1,
        unit_price=common_pb2.Money(minor_units=100, currency="eur"),
    )
    item.MergeFrom(common_pb2.LineItem(**fields))  # type: ignore[arg-type]  # any field, by name
    return item


def test_a_valid_request_is_accepted(new_request: MakeRequest) -> None:
    """The request that every other test here spoils has no fault."""
    assert fields_refused(new_request()) == []


def add_recurring(
    request: pb.SaveAttemptRequest,
    *,
    interval: int = common_pb2.Recurring.INTERVAL_MONTH,
    interval_count: int = 1,
    trial_days: int = 0,
    customer: str = "cus_1",
) -> None:
    """Add a recurring line, so that the cart is a mixed one."""
    number = len(request.context.items)
    item = line(number, recurring=common_pb2.Recurring(interval_count=interval_count, trial_days=trial_days))
    item.recurring.interval = interval  # type: ignore[assignment]  # any number may come over the wire
    request.context.items.append(item)
    request.context.stripe_customer_id = customer


TOO_RARE = {
    common_pb2.Recurring.INTERVAL_DAY: 1096,
    common_pb2.Recurring.INTERVAL_WEEK: 157,
    common_pb2.Recurring.INTERVAL_MONTH: 37,
    common_pb2.Recurring.INTERVAL_YEAR: 4,
}

SPOILED: list[tuple[str, Spoil, str]] = [
    ("no id", lambda r: r.ClearField("attempt_id"), "attempt_id"),
    ("upper-case id", lambda r: setattr(r, "attempt_id", str(uuid.uuid4()).upper()), "attempt_id"),
    ("id without dashes", lambda r: setattr(r, "attempt_id", uuid.uuid4().hex), "attempt_id"),
    ("id with a line end", lambda r: setattr(r, "attempt_id", f"{uuid.uuid4()}\n"), "attempt_id"),
    ("no hash", lambda r: r.ClearField("request_hash"), "request_hash"),
    ("short hash", lambda r: setattr(r, "request_hash", b"h" * 31), "request_hash"),
    ("long hash", lambda r: setattr(r, "request_hash", b"h" * 33), "request_hash"),
    ("no intent id", lambda r: r.intent.ClearField("id"), "intent.id"),
    ("no intent kind", lambda r: r.intent.ClearField("kind"), "intent.kind"),
    ("unknown intent kind", lambda r: setattr(r.intent, "kind", 9), "intent.kind"),
    ("no context", lambda r: r.ClearField("context"), "context"),
    ("no name", lambda r: r.context.contact.ClearField("name"), "context.contact.name"),
    ("blank name", lambda r: setattr(r.context.contact, "name", " \t"), "context.contact.name"),
    ("no e-mail", lambda r: r.context.contact.ClearField("email"), "context.contact.email"),
    (
        "no country",
        lambda r: r.context.shipping_address.ClearField("country"),
        "context.shipping_address.country",
    ),
    (
        "lower-case country",
        lambda r: setattr(r.context.shipping_address, "country", "de"),
        "context.shipping_address.country",
    ),
    (
        "three-letter country",
        lambda r: setattr(r.context.shipping_address, "country", "DEU"),
        "context.shipping_address.country",
    ),
    ("no pay-by", lambda r: r.context.ClearField("pay_by"), "context.pay_by"),
    ("pay-by at the end of time", lambda r: setattr(r.context.pay_by, "seconds", 2**63 - 1), "context.pay_by"),
    ("pay-by before all time", lambda r: setattr(r.context.pay_by, "seconds", -(2**63)), "context.pay_by"),
    ("pay-by with a negative fraction", lambda r: setattr(r.context.pay_by, "nanos", -1), "context.pay_by"),
    ("supersedes no id", lambda r: setattr(r.context, "supersedes", "earlier"), "context.supersedes"),
    ("supersedes itself", lambda r: setattr(r.context, "supersedes", r.attempt_id), "context.supersedes"),
    ("total off by one", lambda r: setattr(r.context.total, "minor_units", 4241), "context.total.minor_units"),
    ("no price id", lambda r: r.context.items[0].ClearField("price_id"), "context.items[0].price_id"),
    (
        "shipping in another currency",
        lambda r: setattr(r.context.shipping_option.amount, "currency", "usd"),
        "context.shipping_option.amount.currency",
    ),
    (
        "line in another currency",
        lambda r: setattr(r.context.items[0].unit_price, "currency", "usd"),
        "context.items[0].unit_price.currency",
    ),
    (
        "recurring line without interval",
        lambda r: add_recurring(r, interval=common_pb2.Recurring.INTERVAL_UNSPECIFIED),
        "context.items[1].recurring.interval",
    ),
    (
        "recurring line with an interval of a later version",
        lambda r: add_recurring(r, interval=99),
        "context.items[1].recurring.interval",
    ),
    (
        "recurring line with count 0",
        lambda r: add_recurring(r, interval_count=0),
        "context.items[1].recurring.interval_count",
    ),
    *(
        (
            f"recurring line of {count} {common_pb2.Recurring.Interval.Name(interval)}",
            lambda r, interval=interval, count=count: add_recurring(r, interval=interval, interval_count=count),
            "context.items[1].recurring.interval_count",
        )
        for interval, count in TOO_RARE.items()
    ),
    (
        "recurring line with a negative trial",
        lambda r: add_recurring(r, trial_days=-1),
        "context.items[1].recurring.trial_days",
    ),
    (
        "recurring line with a trial of over two years",
        lambda r: add_recurring(r, trial_days=731),
        "context.items[1].recurring.trial_days",
    ),
    (
        "recurring line without a customer",
        lambda r: add_recurring(r, customer=""),
        "context.stripe_customer_id",
    ),
    (
        "a long customer id",
        lambda r: add_recurring(r, customer="c" * 256),
        "context.stripe_customer_id",
    ),
    (
        "a customer without a recurring line",
        lambda r: setattr(r.context, "stripe_customer_id", "cus_1"),
        "context.stripe_customer_id",
    ),
]


@pytest.mark.parametrize(("spoil", "field"), [pytest.param(spoil, field, id=name) for name, spoil, field in SPOILED])
def test_a_spoiled_field_is_named(new_request: MakeRequest, spoil: Spoil, field: str) -> None:
    """One fault gives one violation, which names the field by its path."""
    request = new_request()

    spoil(request)

    assert fields_refused(request) == [field]


@pytest.mark.parametrize("currency", ["", "EUR", "eu", "euro", "€ur"])
def test_a_currency_is_three_lower_case_letters(new_request: MakeRequest, currency: str) -> None:
    """A currency that all amounts share can still be none."""
    request = new_request()
    for money in (request.context.total, request.context.shipping_option.amount, request.context.items[0].unit_price):
        money.currency = currency

    assert fields_refused(request) == ["context.total.currency"]


@pytest.mark.parametrize("quantity", [0, -1])
def test_a_line_buys_something(new_request: MakeRequest, quantity: int) -> None:
    """A quantity below one is refused even where the sums agree."""
    request = new_request()
    request.context.items.append(line(1, unit_price=common_pb2.Money(minor_units=0, currency="eur")))
    request.context.items[1].unit_price.minor_units = 0
    request.context.items[1].quantity = quantity

    assert fields_refused(request) == ["context.items[1].quantity"]


def test_a_price_is_not_negative(new_request: MakeRequest) -> None:
    """A line cannot lower the sum."""
    request = new_request()
    request.context.items.append(line(1))
    request.context.items[1].unit_price.minor_units = -100
    request.context.total.minor_units -= 100

    assert fields_refused(request) == ["context.items[1].unit_price.minor_units"]


def test_shipping_is_not_negative(new_request: MakeRequest) -> None:
    """Nor can the shipping."""
    request = new_request()
    request.context.shipping_option.amount.minor_units = -1
    request.context.total.minor_units = 3749

    assert fields_refused(request) == ["context.shipping_option.amount.minor_units"]


def test_a_price_appears_once(new_request: MakeRequest) -> None:
    """Equal lines are merged before they get here."""
    request = new_request()
    request.context.items.append(request.context.items[0])
    request.context.total.minor_units += 3 * 1250

    assert fields_refused(request) == ["context.items[1].price_id"]


@pytest.mark.parametrize("count", [0, MAX_LINES + 1])
def test_a_cart_of_no_lines_or_too_many_is_refused(new_request: MakeRequest, count: int) -> None:
    """The cart as a whole is named, not its lines."""
    request = new_request()
    del request.context.items[:]
    request.context.items.extend(line(number) for number in range(count))
    request.context.total.minor_units = 100 * count + 490

    assert fields_refused(request) == ["context.items"]


def test_the_longest_cart_is_accepted(new_request: MakeRequest) -> None:
    """200 lines are allowed."""
    request = new_request()
    del request.context.items[:]
    request.context.items.extend(line(number) for number in range(MAX_LINES))
    request.context.total.minor_units = 100 * MAX_LINES + 490

    assert fields_refused(request) == []


def test_a_payment_takes_money(new_request: MakeRequest) -> None:
    """A payment intent over nothing is refused."""
    request = new_request()
    request.context.ClearField("shipping_option")
    request.context.items[0].unit_price.minor_units = 0
    request.context.total.minor_units = 0

    assert fields_refused(request) == ["context.total.minor_units"]


def test_recurring_lines_are_not_in_the_total(new_request: MakeRequest) -> None:
    """In a mixed cart the intent takes the one-time lines and the shipping alone."""
    request = new_request()
    add_recurring(request, trial_days=14)

    assert fields_refused(request) == []


@pytest.mark.parametrize("interval", TOO_RARE)
def test_the_rarest_rhythm_is_accepted(new_request: MakeRequest, interval: int) -> None:
    """Once in three years, after two years of trial."""
    request = new_request()
    add_recurring(request, interval=interval, interval_count=TOO_RARE[interval] - 1, trial_days=730)  # type: ignore[index]  # an int is a key

    assert fields_refused(request) == []


def test_lines_of_one_billing_interval_begin_together(new_request: MakeRequest) -> None:
    """They become one subscription, which has one trial; another interval may have another."""
    request = new_request()
    add_recurring(request, trial_days=14)
    add_recurring(request, trial_days=7)
    add_recurring(request, interval_count=3, trial_days=7)

    assert fields_refused(request) == ["context.items[2].recurring.trial_days"]


def test_a_billing_interval_has_at_most_20_lines(new_request: MakeRequest) -> None:
    """As many as Stripe puts on a subscription; another interval has its own twenty."""
    request = new_request()
    for _ in range(20):
        add_recurring(request)
        add_recurring(request, interval_count=2)
    full = fields_refused(request)
    add_recurring(request)

    assert (full, fields_refused(request)) == ([], ["context.items[41]"])


def test_a_cart_has_at_most_5_billing_intervals(new_request: MakeRequest) -> None:
    """Each becomes a subscription; more lines of those that are there are no more subscriptions."""
    request = new_request()
    for count in (1, 2, 3, 4, 5, 1):
        add_recurring(request, interval_count=count)
    full = fields_refused(request)
    add_recurring(request, interval_count=6)
    add_recurring(request, interval_count=6)

    assert (full, fields_refused(request)) == ([], ["context.items[7]"])


def test_a_setup_intent_takes_no_money(new_request: MakeRequest) -> None:
    """A sum with a setup intent would never be charged."""
    request = new_request()
    add_recurring(request)
    request.intent.kind = common_pb2.Intent.KIND_SETUP

    assert fields_refused(request) == ["context.total.minor_units"]


def _set_up(request: pb.SaveAttemptRequest) -> None:
    """Make everything on the cart free today, and the intent a setup."""
    request.intent.kind = common_pb2.Intent.KIND_SETUP
    request.context.ClearField("shipping_option")
    request.context.total.minor_units = 0


def test_a_setup_intent_begins_a_subscription(new_request: MakeRequest) -> None:
    """A free cart without one would be no purchase."""
    request = new_request()
    _set_up(request)
    request.context.items[0].unit_price.minor_units = 0
    without = fields_refused(request)
    add_recurring(request)

    assert (without, fields_refused(request)) == (["context.items"], [])


def test_a_payment_intent_pays_for_an_order(new_request: MakeRequest) -> None:
    """Subscriptions alone are charged by Stripe Billing: shipping would belong to no order."""
    request = new_request()
    add_recurring(request)
    del request.context.items[0]
    request.context.total.minor_units = 490

    assert fields_refused(request) == ["context.items"]


def test_a_cart_of_recurring_lines_alone_goes_with_a_setup_intent(new_request: MakeRequest) -> None:
    """Its total is zero: the first charges come from Stripe Billing."""
    request = new_request()
    _set_up(request)
    add_recurring(request)
    del request.context.items[0]

    assert fields_refused(request) == []


def test_nothing_needs_to_be_shipped(new_request: MakeRequest) -> None:
    """Address and shipping option may be absent."""
    request = new_request()
    request.context.ClearField("shipping_address")
    request.context.ClearField("shipping_option")
    request.context.total.minor_units = 3 * 1250

    assert fields_refused(request) == []


def test_every_fault_is_told_at_once(new_request: MakeRequest) -> None:
    """A caller mends a request in one round."""
    request = new_request()
    request.ClearField("request_hash")
    request.context.contact.ClearField("email")
    request.context.ClearField("pay_by")

    assert fields_refused(request) == ["request_hash", "context.contact.email", "context.pay_by"]


def test_violations_do_not_quote_what_was_sent(new_request: MakeRequest) -> None:
    """P7: what was sent may be personal data and does not get into errors."""
    request = new_request(attempt_id="Ada-Secret")
    request.context.shipping_address.country = "Ada-Secret"
    request.context.supersedes = "Ada-Secret"
    request.context.total.currency = "Ada-Secret"

    told = " ".join(f"{violation.field} {violation.description}" for violation in save_violations(request))

    assert "Ada" not in told


def test_a_canonical_uuid_of_any_version_is_an_attempt_id() -> None:
    """Ids that are derived from an idempotency key need not be random ones."""
    for attempt_id in (uuid.uuid4(), uuid.uuid5(uuid.NAMESPACE_URL, "a"), uuid.UUID(int=0)):
        assert list(attempt_id_violations(str(attempt_id))) == []


@pytest.mark.parametrize("codec", [CLOSE_REASONS, DELETE_REASONS])
def test_a_reason_is_required_and_must_be_known(codec: EnumCodec[Any, Any]) -> None:
    """Unspecified is no reason, nor is a number that the contract does not name."""
    fields = [[violation.field for violation in reason_violations(reason, codec)] for reason in (0, 1, 99)]

    assert fields == [["reason"], [], ["reason"]]
