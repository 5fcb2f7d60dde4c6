"""What is saved can be recorded: whatever the orders service refuses after the payment is refused before it.

The limits are those of `RecordPurchase` (services/orders: `field_checks.py` for texts and money, `cart_checks.py` for
which field has which, `recurring_checks.py` for what makes a subscription). Services do not import each other, so the
table is written out here.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from checkout.common.v1 import common_pb2
from checkout.session.v1 import checkout_session_pb2 as pb
from checkout_session.api.validation import save_violations
from servicekit.errors import DETAILS_KEY

if TYPE_CHECKING:
    from checkout.session.v1.checkout_session_pb2_grpc import CheckoutSessionServiceAsyncStub

MakeRequest = Callable[..., pb.SaveAttemptRequest]
Spoil = Callable[[pb.SaveAttemptRequest], object]

ID: Final = 255
"""ID_CHARACTERS of orders: ids of Stripe objects and of users."""
TEXT: Final = 5000
"""TEXT_CHARACTERS of orders: Stripe's limit for names and address lines."""
MOST_VIOLATIONS: Final = 20
"""MOST_VIOLATIONS of orders: they travel in trailers."""


class Text(NamedTuple):
    """A text of the request, and what orders demands of it."""

    path: str
    limit: int
    required: bool


TEXTS: Final = [
    Text("intent.id", ID, required=True),
    Text("context.user_id", ID, required=False),
    Text("context.contact.name", TEXT, required=True),
    Text("context.contact.email", TEXT, required=True),
    Text("context.contact.phone", TEXT, required=False),
    Text("context.shipping_address.line1", TEXT, required=True),
    Text("context.shipping_address.line2", TEXT, required=False),
    Text("context.shipping_address.city", TEXT, required=False),
    Text("context.shipping_address.state", TEXT, required=False),
    Text("context.shipping_address.postal_code", TEXT, required=False),
    Text("context.shipping_option.shipping_rate_id", ID, required=True),
    Text("context.shipping_option.name", TEXT, required=True),
    Text("context.items[0].price_id", ID, required=True),
    Text("context.items[0].product_id", TEXT, required=True),
    Text("context.items[0].name", TEXT, required=True),
]


def told(request: pb.SaveAttemptRequest) -> list[tuple[str, str]]:
    """Return the violations as pairs of path and description."""
    return [(violation.field, violation.description) for violation in save_violations(request)]


def put(request: pb.SaveAttemptRequest, path: str, value: str) -> None:
    """Set the text at a path."""
    *way, last = path.replace("items[0]", "items.0").split(".")
    owner: Any = request
    for step in way:
        owner = owner[int(step)] if step.isdecimal() else getattr(owner, step)
    setattr(owner, last, value)


each_text = pytest.mark.parametrize("text", TEXTS, ids=lambda text: text.path)


@each_text
@pytest.mark.parametrize("letter", ["x", "ß", "\U0001f6d2"])
def test_a_text_may_fill_its_limit(new_request: MakeRequest, text: Text, letter: str) -> None:
    """Characters are counted, not bytes."""
    request = new_request()

    put(request, text.path, letter * text.limit)

    assert told(request) == []


@each_text
def test_a_text_over_its_limit_is_refused(new_request: MakeRequest, text: Text) -> None:
    """One character more than orders takes."""
    request = new_request()

    put(request, text.path, "x" * (text.limit + 1))

    assert told(request) == [(text.path, f"must have at most {text.limit} characters and no NUL")]


@each_text
def test_a_text_with_a_nul_is_refused(new_request: MakeRequest, text: Text) -> None:
    """PostgreSQL has no place for it."""
    request = new_request()

    put(request, text.path, "Ada\0Buyer")

    assert told(request) == [(text.path, f"must have at most {text.limit} characters and no NUL")]


@each_text
def test_only_an_optional_text_may_be_empty(new_request: MakeRequest, text: Text) -> None:
    """The others must say something."""
    request = new_request()

    put(request, text.path, "")

    assert told(request) == ([(text.path, "is required")] if text.required else [])


def _everywhere(currency: str) -> Spoil:
    def spoil(request: pb.SaveAttemptRequest) -> None:
        context = request.context
        for money in (context.total, context.shipping_option.amount, context.items[0].unit_price):
            money.currency = currency

    return spoil


def _many_lines(request: pb.SaveAttemptRequest) -> None:
    for number in range(200):
        request.context.items.add().CopyFrom(request.context.items[0])
        request.context.items[-1].price_id = f"price_{number}"
    request.context.total.minor_units += 200 * 3 * 1250


def _free(request: pb.SaveAttemptRequest) -> None:
    request.context.ClearField("shipping_option")
    request.context.items[0].unit_price.minor_units = 0
    request.context.total.minor_units = 0


def _refunding(request: pb.SaveAttemptRequest) -> None:
    request.context.items.add().CopyFrom(request.context.items[0])
    request.context.items[1].price_id = "price_back"
    request.context.items[1].unit_price.minor_units = -1
    request.context.total.minor_units -= 3


def _recurring(request: pb.SaveAttemptRequest, **recurring: Any) -> None:
    item = request.context.items.add()
    item.CopyFrom(request.context.items[0])
    item.price_id = f"price_recurring_{len(request.context.items)}"
    monthly = common_pb2.Recurring(interval=common_pb2.Recurring.INTERVAL_MONTH, interval_count=1)
    item.recurring.CopyFrom(monthly)
    item.recurring.MergeFrom(common_pb2.Recurring(**recurring))
    request.context.stripe_customer_id = "cus_1"


def _of(request: pb.SaveAttemptRequest) -> common_pb2.Recurring:
    _recurring(request)
    return request.context.items[-1].recurring


def _unpaid_subscription(request: pb.SaveAttemptRequest) -> None:
    _recurring(request)
    request.context.ClearField("stripe_customer_id")


def _two_trials(request: pb.SaveAttemptRequest) -> None:
    _recurring(request, trial_days=7)
    _recurring(request, trial_days=14)


def _many_of_an_interval(request: pb.SaveAttemptRequest) -> None:
    for _ in range(21):
        _recurring(request)


def _set_up(request: pb.SaveAttemptRequest) -> None:
    request.intent.kind = common_pb2.Intent.KIND_SETUP
    request.context.ClearField("shipping_option")
    request.context.total.minor_units = 0


def _free_setup(request: pb.SaveAttemptRequest) -> None:
    _set_up(request)
    request.context.items[0].unit_price.minor_units = 0


def _payment_of_no_order(request: pb.SaveAttemptRequest) -> None:
    _recurring(request)
    del request.context.items[0]
    request.context.total.minor_units = 490


def _setup_with_a_sum(request: pb.SaveAttemptRequest) -> None:
    _recurring(request)
    request.intent.kind = common_pb2.Intent.KIND_SETUP


def _paying_for_shipping(request: pb.SaveAttemptRequest) -> None:
    request.context.shipping_option.amount.minor_units = -1
    request.context.total.minor_units = 3 * 1250 - 1


UNRECORDABLE: Final[list[tuple[str, Spoil]]] = [
    ("no context", lambda r: r.ClearField("context")),
    ("no contact", lambda r: r.context.ClearField("contact")),
    ("an empty address", lambda r: r.context.shipping_address.Clear()),
    ("an empty shipping option", lambda r: r.context.shipping_option.Clear()),
    ("an unknown country's form", lambda r: setattr(r.context.shipping_address, "country", "de")),
    ("shipping without an amount", lambda r: r.context.shipping_option.ClearField("amount")),
    ("shipping that costs less than nothing", _paying_for_shipping),
    ("shipping in another currency", lambda r: setattr(r.context.shipping_option.amount, "currency", "usd")),
    ("no lines", lambda r: r.context.ClearField("items")),
    ("201 lines", _many_lines),
    ("an empty line", lambda r: r.context.items.add()),
    ("a price on two lines", lambda r: r.context.items.add().CopyFrom(r.context.items[0])),
    ("a line of nothing", lambda r: setattr(r.context.items[0], "quantity", 0)),
    ("a line without a price", lambda r: r.context.items[0].ClearField("unit_price")),
    ("a line that costs less than nothing", _refunding),
    ("a line in another currency", lambda r: setattr(r.context.items[0].unit_price, "currency", "usd")),
    ("no total", lambda r: r.context.ClearField("total")),
    ("an upper-case currency", _everywhere("EUR")),
    ("no currency", _everywhere("")),
    ("a total off by one", lambda r: setattr(r.context.total, "minor_units", 4241)),
    ("a purchase of nothing", _free),
    ("a subscription in no interval", lambda r: _recurring(r, interval=9)),
    ("a subscription billed every 0 months", lambda r: setattr(_of(r), "interval_count", 0)),
    ("a subscription billed too rarely", lambda r: _recurring(r, interval_count=37)),
    ("a trial of over two years", lambda r: _recurring(r, trial_days=731)),
    ("a trial of less than nothing", lambda r: _recurring(r, trial_days=-1)),
    ("a subscription that nobody is charged for", _unpaid_subscription),
    ("two trials in one interval", _two_trials),
    ("21 lines in one interval", _many_of_an_interval),
    ("a setup that begins nothing", _free_setup),
    ("a setup with a sum", _setup_with_a_sum),
    ("a payment for no order", _payment_of_no_order),
]


@pytest.mark.parametrize("spoil", [pytest.param(spoil, id=name) for name, spoil in UNRECORDABLE])
def test_what_orders_refuses_is_not_saved(new_request: MakeRequest, spoil: Spoil) -> None:
    """Every other rule that orders has for the content of a purchase."""
    request = new_request()

    spoil(request)

    assert told(request) != []


def _violations_of(failure: grpc.aio.AioRpcError) -> list[str]:
    details = dict(failure.trailing_metadata() or ())[DETAILS_KEY]
    assert isinstance(details, bytes)
    bad = error_details_pb2.BadRequest()
    assert any(detail.Unpack(bad) for detail in status_pb2.Status.FromString(details).details)
    return [violation.field for violation in bad.field_violations]


async def _refused(call: Awaitable[object]) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def test_a_caller_is_told_which_text_cannot_be_recorded(
    stub: "CheckoutSessionServiceAsyncStub", new_request: MakeRequest
) -> None:
    """SaveAttempt answers INVALID_ARGUMENT with the field, before anybody can pay (P2)."""
    request = new_request()
    request.context.items[0].name = "x" * (TEXT + 1)

    failure = await _refused(stub.SaveAttempt(request))

    assert failure.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert _violations_of(failure) == ["context.items[0].name"]


def test_many_faults_are_told_as_far_as_they_fit(new_request: MakeRequest) -> None:
    """Twenty are enough to mend a client by, and fit into the trailers."""
    request = new_request()
    request.context.items.extend(common_pb2.LineItem() for _ in range(150))

    assert len(told(request)) == MOST_VIOLATIONS
