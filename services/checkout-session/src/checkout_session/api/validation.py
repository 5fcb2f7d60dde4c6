"""What a request must be before it reaches the domain. Violations name paths and never quote values (P7)."""

import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC
from itertools import islice
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from checkout.common.v1 import common_pb2
from checkout.session.v1 import checkout_session_pb2 as pb
from checkout_session.messages import INTENT_KINDS
from servicekit.enum_codec import EnumCodec
from servicekit.violations import FieldViolation

MAX_LINES: Final = 200

ID_CHARACTERS: Final = 255
"""Stripe's limit for the ids of its objects, and that of the user ids in tokens."""

TEXT_CHARACTERS: Final = 5000
"""Stripe's limit for names and address lines. A text at either limit can still be recorded after the payment."""

MAX_LINES_OF_INTERVAL: Final = 20
"""Stripe's limit for the items of a subscription, which the lines of one billing interval become."""

MAX_PERIODS: Final = 5
"""Billing intervals of a cart, each of which becomes a subscription."""

MAX_TRIAL_DAYS: Final = 730
"""Stripe's limit for a trial."""

MOST_VIOLATIONS: Final = 20
"""They travel in trailers, which gRPC keeps small."""

_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_CURRENCY: Final = re.compile(r"[a-z]{3}")
_COUNTRY: Final = re.compile(r"[A-Z]{2}")
_REQUEST_HASH_BYTES: Final = 32
_MAX_INTERVALS: Final = {
    common_pb2.Recurring.INTERVAL_DAY: 1095,
    common_pb2.Recurring.INTERVAL_WEEK: 156,
    common_pb2.Recurring.INTERVAL_MONTH: 36,
    common_pb2.Recurring.INTERVAL_YEAR: 3,
}
"""Stripe bills at least once in three years."""

_Violations = Iterator[FieldViolation]


def save_violations(request: pb.SaveAttemptRequest) -> _Violations:
    """Yield what is wrong with a request to save, apart from the time of its pay-by; the first of it, if it is much.

    What passes must be recordable once it is paid: a text refused only then would be a purchase in quarantine.
    """
    yield from islice(_request_violations(request), MOST_VIOLATIONS)


def _request_violations(request: pb.SaveAttemptRequest) -> _Violations:
    yield from attempt_id_violations(request.attempt_id)
    if len(request.request_hash) != _REQUEST_HASH_BYTES:
        yield FieldViolation("request_hash", f"must be {_REQUEST_HASH_BYTES} bytes")
    yield from _intent_violations(request.intent)
    if not request.HasField("context"):
        yield FieldViolation("context", "is required")
        return
    yield from _context_violations(request.context)
    yield from _total_violations(request.context, request.intent.kind)
    yield from _kind_violations(request.context, request.intent.kind)
    if request.context.supersedes == request.attempt_id != "":
        yield FieldViolation("context.supersedes", "must name another attempt")


def attempt_id_violations(attempt_id: str, field: str = "attempt_id") -> _Violations:
    """Yield a violation unless the id is a UUID in its canonical form."""
    if not _UUID.fullmatch(attempt_id):
        yield FieldViolation(field, "must be a UUID in its canonical lower-case form")


def reason_violations(reason: int, known: EnumCodec[Any, Any]) -> _Violations:
    """Yield a violation unless the reason is one of the known ones."""
    if known.from_proto(reason) is None:
        yield FieldViolation("reason", "must be one of the contract's reasons")


def _intent_violations(intent: common_pb2.Intent) -> _Violations:
    yield from _required_violations("intent.id", intent.id, ID_CHARACTERS)
    if INTENT_KINDS.from_proto(intent.kind) is None:
        yield FieldViolation("intent.kind", "must be payment or setup")


def _context_violations(context: common_pb2.CheckoutContext) -> _Violations:
    yield from _text_violations("context.user_id", context.user_id, ID_CHARACTERS)
    yield from _contact_violations(context.contact)
    if context.HasField("shipping_address"):
        yield from _address_violations("context.shipping_address", context.shipping_address)
    if not context.HasField("pay_by"):
        yield FieldViolation("context.pay_by", "is required")
    elif not _is_moment(context.pay_by):
        yield FieldViolation("context.pay_by", "must lie between the years 1 and 9999")
    if context.supersedes:
        yield from attempt_id_violations(context.supersedes, "context.supersedes")
    if not _CURRENCY.fullmatch(context.total.currency):
        yield FieldViolation("context.total.currency", "must be three lower-case letters")
    if context.HasField("shipping_option"):
        yield from _shipping_violations("context.shipping_option", context.shipping_option, context.total.currency)
    yield from _items_violations(context)
    yield from _period_violations(context)
    yield from _customer_violations(context)


def _is_moment(stamp: Timestamp) -> bool:
    """Whether it is a time that can be reckoned with: the wire carries seconds and nanoseconds of any size."""
    try:
        stamp.ToDatetime(UTC)
    except (ValueError, OverflowError):
        return False
    return True


def _contact_violations(contact: common_pb2.Contact) -> _Violations:
    for path, value in (("context.contact.name", contact.name), ("context.contact.email", contact.email)):
        if not value.strip():
            yield FieldViolation(path, "is required")
        yield from _text_violations(path, value)
    yield from _text_violations("context.contact.phone", contact.phone)


def _address_violations(path: str, address: common_pb2.Address) -> _Violations:
    yield from _required_violations(f"{path}.line1", address.line1)
    yield from _text_violations(f"{path}.line2", address.line2)
    yield from _text_violations(f"{path}.city", address.city)
    yield from _text_violations(f"{path}.state", address.state)
    yield from _text_violations(f"{path}.postal_code", address.postal_code)
    if not _COUNTRY.fullmatch(address.country):
        yield FieldViolation(f"{path}.country", "must be two upper-case letters")


def _shipping_violations(path: str, option: common_pb2.ShippingOption, currency: str) -> _Violations:
    yield from _required_violations(f"{path}.shipping_rate_id", option.shipping_rate_id, ID_CHARACTERS)
    yield from _required_violations(f"{path}.name", option.name)
    yield from _money_violations(f"{path}.amount", option.amount, currency)


def _items_violations(context: common_pb2.CheckoutContext) -> _Violations:
    if not 1 <= len(context.items) <= MAX_LINES:
        yield FieldViolation("context.items", f"must have 1 to {MAX_LINES} lines")
        return
    seen: set[str] = set()
    for index, item in enumerate(context.items):
        path = f"context.items[{index}]"
        yield from _item_violations(path, item, context.total.currency)
        if item.price_id in seen:
            yield FieldViolation(f"{path}.price_id", "must not repeat an earlier line's")
        seen.add(item.price_id)


def _item_violations(path: str, item: common_pb2.LineItem, currency: str) -> _Violations:
    yield from _required_violations(f"{path}.price_id", item.price_id, ID_CHARACTERS)
    # Whoever makes a product may choose its id, as long as any text of theirs.
    yield from _required_violations(f"{path}.product_id", item.product_id)
    yield from _required_violations(f"{path}.name", item.name)
    if item.quantity < 1:
        yield FieldViolation(f"{path}.quantity", "must be at least 1")
    yield from _money_violations(f"{path}.unit_price", item.unit_price, currency)
    if item.HasField("recurring"):
        yield from _recurring_violations(f"{path}.recurring", item.recurring)


def _required_violations(path: str, value: str, limit: int = TEXT_CHARACTERS) -> _Violations:
    if not value:
        yield FieldViolation(path, "is required")
    yield from _text_violations(path, value, limit)


def _text_violations(path: str, value: str, limit: int = TEXT_CHARACTERS) -> _Violations:
    """Yield a violation for a text that is too long, or that PostgreSQL would not take for its NUL."""
    if len(value) > limit or "\0" in value:
        yield FieldViolation(path, f"must have at most {limit} characters and no NUL")


def _money_violations(path: str, money: common_pb2.Money, currency: str) -> _Violations:
    if money.minor_units < 0:
        yield FieldViolation(f"{path}.minor_units", "must not be negative")
    if money.currency != currency:
        yield FieldViolation(f"{path}.currency", "must be the total's currency")


def _recurring_violations(path: str, recurring: common_pb2.Recurring) -> _Violations:
    most = _MAX_INTERVALS.get(recurring.interval)
    if most is None:
        yield FieldViolation(f"{path}.interval", "must be day, week, month or year")
    elif not 1 <= recurring.interval_count <= most:
        yield FieldViolation(f"{path}.interval_count", "must be 1 to what makes three years")
    if not 0 <= recurring.trial_days <= MAX_TRIAL_DAYS:
        yield FieldViolation(f"{path}.trial_days", f"must be 0 to {MAX_TRIAL_DAYS}")


def _period_violations(context: common_pb2.CheckoutContext) -> _Violations:
    """Yield what the lines of one billing interval do not have in common: together they are one subscription."""
    trials: dict[tuple[int, int], int] = {}
    lines: Counter[tuple[int, int]] = Counter()
    for index, item in enumerate(context.items[:MAX_LINES]):
        if not item.HasField("recurring"):
            continue
        path, period = f"context.items[{index}]", (item.recurring.interval, item.recurring.interval_count)
        lines[period] += 1
        if item.recurring.trial_days != trials.setdefault(period, item.recurring.trial_days):
            yield FieldViolation(f"{path}.recurring.trial_days", "must be that of its billing interval")
        if lines[period] > MAX_LINES_OF_INTERVAL:
            yield FieldViolation(path, f"must be one of {MAX_LINES_OF_INTERVAL} in its billing interval")
        if lines[period] == 1 and len(lines) > MAX_PERIODS:
            yield FieldViolation(path, f"must be of one of {MAX_PERIODS} billing intervals")


def _customer_violations(context: common_pb2.CheckoutContext) -> _Violations:
    path, recurs = "context.stripe_customer_id", any(item.HasField("recurring") for item in context.items)
    if recurs:
        yield from _required_violations(path, context.stripe_customer_id, ID_CHARACTERS)
    elif context.stripe_customer_id:
        yield FieldViolation(path, "must be empty without recurring lines")


def _total_violations(context: common_pb2.CheckoutContext, kind: int) -> _Violations:
    """Yield what is wrong with the sum that the intent takes: it must be the one Stripe will receive (P5)."""
    lines = sum(item.unit_price.minor_units * item.quantity for item in context.items if not item.HasField("recurring"))
    path = "context.total.minor_units"
    if context.total.minor_units != lines + context.shipping_option.amount.minor_units:
        yield FieldViolation(path, "must equal the one-time lines and the shipping")
    if kind == common_pb2.Intent.KIND_PAYMENT and context.total.minor_units <= 0:
        yield FieldViolation(path, "must be above zero for a payment intent")
    if kind == common_pb2.Intent.KIND_SETUP and context.total.minor_units != 0:
        yield FieldViolation(path, "must be zero for a setup intent, which takes no money")


def _kind_violations(context: common_pb2.CheckoutContext, kind: int) -> _Violations:
    """Yield a violation where the intent does not suit the cart: what it took would belong to no purchase."""
    recurring = sum(item.HasField("recurring") for item in context.items)
    if kind == common_pb2.Intent.KIND_PAYMENT and recurring == len(context.items) > 0:
        yield FieldViolation("context.items", "must have a one-time line for a payment intent")
    if kind == common_pb2.Intent.KIND_SETUP and not recurring:
        yield FieldViolation("context.items", "must have a recurring line for a setup intent")
