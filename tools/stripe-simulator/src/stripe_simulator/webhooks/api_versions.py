"""Events in the API version of an endpoint (https://docs.stripe.com/webhooks/versioning).

Two differences of versions before 2025-03-31.basil are modelled: an invoice names its subscription at the top, and a
subscription has its billing period at the top.

- https://docs.stripe.com/changelog/basil/2025-03-31/adds-new-parent-field-to-invoicing-objects
- https://docs.stripe.com/changelog/basil/2025-03-31/deprecate-subscription-current-period-start-and-end
"""

from typing import Final

from stripe_simulator.collection import StripeObject

_BASIL: Final = "2025-03-31"
_PERIOD: Final = ("current_period_start", "current_period_end")


def render_event(event: StripeObject, version: str) -> StripeObject:
    """Return the event as an endpoint of this version receives it."""
    shown = event["data"]["object"]
    if version < _BASIL and shown.get("object") == "invoice":
        shown = _old_invoice(shown)
    elif version < _BASIL and shown.get("object") == "subscription":
        shown = _old_subscription(shown)
    return event | {"api_version": version, "data": event["data"] | {"object": shown}}


def _old_invoice(invoice: StripeObject) -> StripeObject:
    details = (invoice.get("parent") or {}).get("subscription_details") or {}
    rest = {name: value for name, value in invoice.items() if name != "parent"}
    return rest | {"subscription": details.get("subscription")}


def _old_subscription(subscription: StripeObject) -> StripeObject:
    items = [_without_period(item) for item in subscription["items"]["data"]]
    period = {name: subscription["items"]["data"][0][name] for name in _PERIOD}
    return subscription | period | {"items": subscription["items"] | {"data": items}}


def _without_period(item: StripeObject) -> StripeObject:
    return {name: value for name, value in item.items() if name not in _PERIOD}
