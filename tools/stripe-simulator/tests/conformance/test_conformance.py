"""All that the simulator answers or sends has the types that Stripe publishes in its own libraries.

With `-s` the test prints the table: for each object, the required keys missing, and what has the wrong type.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import stripe

import stripe_simulator
from stripe_simulator.endpoints import Router
from stripe_simulator.published_types import Deviation, Problem, PublishedTypes
from stripe_simulator.registry import RESOURCES
from stripe_simulator.settings import API_VERSION
from stripe_simulator.strict_mode import KNOWN_DEVIATIONS

from .conftest import Traffic

NEVER_REACHED: Final = {
    ("payment_intent", "status", "requires_capture"): "Only automatic capture is modelled.",
    ("setup_intent", "status", "processing"): "A bank account is set up at once; only its debits take days.",
    ("subscription", "status", "unpaid"): "After the last retry the simulator cancels, as an account may be set to.",
    ("dispute", "status", "prevented"): "Rapid dispute resolution is not modelled.",
    ("dispute", "status", "appeal_needs_response"): "Appeals are not modelled.",
    ("dispute", "status", "appeal_under_review"): "Appeals are not modelled.",
    ("invoice", "billing_reason", "automatic_pending_invoice_item_invoice"): "Only subscriptions make invoices.",
    ("invoice", "billing_reason", "manual"): "Only subscriptions make invoices.",
    ("invoice", "billing_reason", "quote_accept"): "Quotes are not modelled.",
    ("invoice", "billing_reason", "subscription"): "Only old invoices of Stripe have it.",
    ("invoice", "billing_reason", "subscription_threshold"): "Thresholds are not modelled.",
    ("subscription", "cancellation_details.reason", "canceled_by_retention_policy"): "Policies are not modelled.",
    ("subscription", "cancellation_details.reason", "payment_disputed"): "An account can be set to it; here it is not.",
}
"""Published values of `FIELDS` that no object of the simulator has."""
FIELDS: Final = ("status", "billing_reason", "cancellation_details.reason", "pause_collection.behavior")
"""Fields whose every published value is reached."""
EVENTS: Final = (
    "billing_portal.configuration.created",
    "billing_portal.session.created",
    "charge.dispute.closed",
    "charge.dispute.created",
    "charge.dispute.funds_reinstated",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.updated",
    "charge.failed",
    "charge.pending",
    "charge.refund.updated",
    "charge.refunded",
    "charge.succeeded",
    "charge.updated",
    "coupon.created",
    "customer.created",
    "customer.deleted",
    "customer.discount.created",
    "customer.discount.deleted",
    "customer.subscription.created",
    "customer.subscription.deleted",
    "customer.subscription.paused",
    "customer.subscription.trial_will_end",
    "customer.subscription.updated",
    "customer.updated",
    "invoice.created",
    "invoice.finalized",
    "invoice.marked_uncollectible",
    "invoice.paid",
    "invoice.payment_action_required",
    "invoice.payment_failed",
    "invoice.payment_succeeded",
    "invoice.upcoming",
    "invoice.updated",
    "invoice.voided",
    "invoice_payment.paid",
    "invoiceitem.created",
    "payment_intent.canceled",
    "payment_intent.created",
    "payment_intent.payment_failed",
    "payment_intent.processing",
    "payment_intent.requires_action",
    "payment_intent.succeeded",
    "payment_method.attached",
    "payment_method.detached",
    "price.created",
    "price.updated",
    "product.created",
    "refund.created",
    "refund.failed",
    "refund.updated",
    "setup_intent.canceled",
    "setup_intent.created",
    "setup_intent.requires_action",
    "setup_intent.setup_failed",
    "setup_intent.succeeded",
)
"""All that the simulator sends: listed here, so that one which is no longer sent is missed."""
NEVER_EXPANDED: Final = {("subscription_item", "discounts"): "Only a whole subscription has discounts."}


def test_the_versions_are_one(printed: Any) -> None:
    """The types describe the API version that the simulator and the Python library speak."""
    assert printed["api_version"] == API_VERSION == stripe.api_version


@pytest.mark.parametrize("library", ["npm", "Python"])
def test_every_object_is_as_published(published: Mapping[str, PublishedTypes], traffic: Traffic, library: str) -> None:
    """No required key is missing, no type is wrong, no value is outside its enum, except those known."""
    types = published[library]

    found = Counter(deviation for body in traffic.bodies for deviation in types.check(body))

    unexplained = found.keys() - KNOWN_DEVIATIONS.keys()
    print(f"\nstripe {types.version}, {library}\n{table(types, traffic, set(found))}")  # noqa: T201 - the table is the result
    assert not unexplained, "\n".join(sorted(map(str, unexplained)))


def test_every_known_deviation_exists(published: Mapping[str, PublishedTypes], traffic: Traffic) -> None:
    """One that was mended leaves the list."""
    found = {deviation for body in traffic.bodies for types in published.values() for deviation in types.check(body)}

    assert found >= KNOWN_DEVIATIONS.keys()


def test_every_endpoint_is_called(traffic: Traffic) -> None:
    """A new endpoint gets its call in `every_object.py` and in `frontend/conformance/every_object.ts`."""
    router = Router(RESOURCES)
    endpoints = {(each.method, each.template) for resource in RESOURCES for each in resource.endpoints}

    found = [router.get(method, path).endpoint for method, path in traffic.requests]

    assert sorted(endpoints - {(each.method, each.template) for each in found}) == []


def test_every_value_is_reached(published: Mapping[str, PublishedTypes], traffic: Traffic) -> None:
    """Of each kind of object, every published status and reason was answered or sent, except those known."""
    reached = {
        (each["object"], path, value_at(each, path))
        for body in traffic.bodies
        for each in objects_in(body)
        for path in FIELDS
    }
    kinds = {resource.kind for resource in RESOURCES}
    possible = {
        (kind, path, value) for kind in kinds for path in FIELDS for value in published["npm"].values(kind, path)
    }

    assert sorted(possible - reached) == sorted(NEVER_REACHED)


def test_every_expandable_field_is_expanded(traffic: Traffic) -> None:
    """Of each kind of object, every field that expands was answered expanded, except those known."""
    fields = {(resource.kind, field) for resource in RESOURCES for field in resource.expandable}
    found = {
        (each["object"], name)
        for body in traffic.bodies
        for each in objects_in(body)
        for name, value in each.items()
        if isinstance(value, dict) or (isinstance(value, list) and value and isinstance(value[0], dict))
    }

    assert fields - found == NEVER_EXPANDED.keys()


def test_every_event_is_sent(published: Mapping[str, PublishedTypes], traffic: Traffic) -> None:
    """Each type of event that the simulator's source names was sent."""
    source = "".join(path.read_text() for path in Path(stripe_simulator.__file__).parent.rglob("*.py"))
    named = {word for word in re.findall(r'"([a-z_.]+)"', source) if word in published["npm"].events}
    sent = {each["type"] for body in traffic.bodies for each in objects_in(body) if each["object"] == "event"}

    assert sorted(named - sent) == []
    assert sorted(sent) == list(EVENTS)


def test_every_update_tells_what_changed(traffic: Traffic) -> None:
    """Of each type of event of an update, one with `previous_attributes` was sent."""
    events = [each for body in traffic.bodies for each in objects_in(body) if each["object"] == "event"]
    telling = {each["type"] for each in events if each["data"].get("previous_attributes")}

    assert {each["type"] for each in events if each["type"].endswith(".updated")} <= telling


def value_at(shown: Any, path: str) -> Any:
    """Return the value of a field, or None. Dots lead into nested objects."""
    for name in path.split("."):
        shown = shown.get(name) if isinstance(shown, dict) else None
    return shown


def objects_in(place: Any) -> Iterator[dict[str, Any]]:
    """Yield all of Stripe's objects in a body, nested ones too."""
    if isinstance(place, dict):
        if isinstance(place.get("object"), str):
            yield place
        for value in place.values():
            yield from objects_in(value)
    elif isinstance(place, list):
        for element in place:
            yield from objects_in(element)


def table(types: PublishedTypes, traffic: Traffic, found: set[Deviation]) -> str:
    """Format the number of paths with each problem, by kind of object, and how many of them are explained."""
    seen = Counter(each["object"] for body in traffic.bodies for each in objects_in(body))
    seen["error"] = sum("error" in body for body in traffic.bodies)
    rows: list[tuple[Any, ...]] = [("object", "seen", "required keys", *Problem, "of these explained")]
    for kind in sorted(types.required.keys() | {each.kind for each in found}):
        here = [each for each in found if each.kind == kind]
        counts = Counter(each.problem for each in here)
        explained = sum(each in KNOWN_DEVIATIONS for each in here)
        shown = seen[kind.partition(" (")[0]]
        rows.append((kind, shown, len(types.required.get(kind, ())), *(counts[each] for each in Problem), explained))
    widths = [max(len(str(row[column])) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"amount": None}, Problem.WRONG_TYPE),
        ({"amount": "500"}, Problem.WRONG_TYPE),
        ({"livemode": 0}, Problem.WRONG_TYPE),
        ({"status": "paid"}, Problem.OUTSIDE_ENUM),
        ({"status": None}, Problem.WRONG_TYPE),
        ({"payment_method_types": "card"}, Problem.WRONG_TYPE),
        ({"charges": []}, Problem.NOT_PUBLISHED),
        ({"last_payment_error": {"type": "no_error"}}, Problem.OUTSIDE_ENUM),
        ({"shipping": {"name": 1}}, Problem.WRONG_TYPE),
        ({"latest_charge": 1}, Problem.WRONG_TYPE),
    ],
)
@pytest.mark.parametrize("library", ["npm", "Python"])
def test_each_problem_is_found(
    published: Mapping[str, PublishedTypes], traffic: Traffic, library: str, changes: dict[str, Any], problem: Problem
) -> None:
    """A payment intent with one wrong value deviates by that value alone."""
    intent = next(body for body in traffic.bodies if body.get("object") == "payment_intent")

    found = published[library].check(intent | changes)

    assert {each.problem for each in found} == {problem}
    assert all(each.path.startswith(next(iter(changes))) for each in found if each.kind == "payment_intent")


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *(("payment_intent", name) for name in ("id", "amount", "last_payment_error", "latest_charge")),
        ("invoice", "id"),
    ],
)
def test_each_missing_key_is_found(
    published: Mapping[str, PublishedTypes], traffic: Traffic, kind: str, name: str
) -> None:
    """A key is required even where its value may be null, and where another invoice may lack it."""
    shown = next(body for body in traffic.bodies if body.get("object") == kind)

    found = published["npm"].check({key: value for key, value in shown.items() if key != name})

    assert found == [Deviation(kind, name, Problem.MISSING)]
    assert found[0] not in KNOWN_DEVIATIONS


def test_an_object_without_fields_is_an_object(published: Mapping[str, PublishedTypes], traffic: Traffic) -> None:
    """Null, for one, is found there, too."""
    methods = (each for body in traffic.bodies for each in objects_in(body) if each["object"] == "payment_method")
    wallet = next(each for each in methods if each["type"] == "amazon_pay")

    found = published["npm"].check(wallet | {"amazon_pay": None})

    assert found == [Deviation("payment_method", "amazon_pay", Problem.WRONG_TYPE, "null")]
