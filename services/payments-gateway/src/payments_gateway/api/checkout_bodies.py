"""Bodies of a checkout: initiate it, complete it, read its status."""

import hashlib
import json
from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field, StrictInt, StrictStr
from pydantic.config import JsonDict

from checkout_rules.limits import MAX_CART_LINES
from payments_gateway.api.fields import (
    WHOLE_NUMBER,
    Body,
    CatalogueId,
    Country,
    Email,
    Name,
    OptionalAddressLine,
    OptionalPhone,
    OptionalStreet,
    RequestBody,
    Street,
    Uuid,
)
from payments_gateway.api.order_bodies import PurchaseBody, purchase_to_body
from payments_gateway.checkout.carts import Cart, CartLine, RecurringSum
from payments_gateway.checkout.initiate import Checkout, CheckoutRequest
from payments_gateway.checkout.status import CheckoutStatus
from payments_gateway.domain.attempts import Address, Contact, IntentKind, IntentRef
from servicekit.violations import FieldViolation, InvalidRequest

_MAX_QUANTITY = 1_000_000


class ItemBody(RequestBody):
    """One line of a cart. Lines of the same price are merged."""

    price_id: CatalogueId = Field(description="Stripe Price id.", examples=["price_1Mug"])
    quantity: Annotated[StrictInt, Field(ge=1, le=_MAX_QUANTITY), WHOLE_NUMBER] = Field(examples=[2])


class ContactBody(RequestBody):
    """Contact of the buyer. A blank phone is none, as Stripe's elements hand it over."""

    email: Email = Field(examples=["ada@example.com"])
    name: Name = Field(
        description="One word is enough: wallets know no more of some buyers.", examples=["Ada Lovelace"]
    )
    phone: OptionalPhone = Field(default=None, examples=["+44 20 7946 0958"])


class AddressBody(RequestBody):
    """A postal address, with Stripe's fields. A blank optional one is none, as Stripe's elements hand it over.

    The lines of a street, which Apple Pay hands over in one text, are joined by commas.
    """

    line1: Street = Field(examples=["12 St James's Square"])
    line2: OptionalStreet = None
    city: OptionalAddressLine = Field(default=None, examples=["London"])
    state: OptionalAddressLine = None
    postal_code: OptionalAddressLine = Field(default=None, examples=["SW1Y 4JH"])
    country: Country = Field(description="ISO 3166-1 alpha-2, in either case.", examples=["GB"])


_SHIPPING_NEEDS_AN_ADDRESS: Final[JsonDict] = {
    "if": {"required": ["shippingOptionId"], "properties": {"shippingOptionId": {"type": "string"}}},
    "then": {"required": ["shippingAddress"], "properties": {"shippingAddress": {"type": "object"}}},
}


class InitiateCheckoutBody(RequestBody):
    """The cart and the buyer's contact. Prices, sums and the user are not accepted from the client (P6)."""

    model_config = ConfigDict(json_schema_extra=_SHIPPING_NEEDS_AN_ADDRESS)

    items: Annotated[list[ItemBody], Field(min_length=1, max_length=MAX_CART_LINES)]
    contact: ContactBody
    shipping_address: AddressBody | None = None
    shipping_option_id: CatalogueId | None = Field(
        default=None, description="Stripe ShippingRate id, from the catalogue. Requires shippingAddress."
    )
    supersedes: Uuid | None = Field(
        default=None, description="The checkoutAttemptId that this checkout replaces after a change of the cart."
    )


def checkout_request_from_body(body: InitiateCheckoutBody) -> CheckoutRequest:
    """Read a request; its hash covers everything that the client sent."""
    if body.shipping_option_id is not None and body.shipping_address is None:
        raise InvalidRequest([FieldViolation("shippingAddress", "is required with shippingOptionId")])
    sent = json.dumps(body.model_dump(mode="json", exclude_none=True), sort_keys=True)
    return CheckoutRequest(
        cart=Cart(
            lines=tuple(CartLine(item.price_id, item.quantity) for item in body.items),
            shipping_option_id=body.shipping_option_id,
        ),
        contact=Contact(**body.contact.model_dump()),
        shipping_address=Address(**body.shipping_address.model_dump()) if body.shipping_address else None,
        supersedes=body.supersedes,
        request_hash=hashlib.sha256(sent.encode()).digest(),
    )


class RecurringSumBody(Body):
    """Sum of all lines of one billing interval."""

    interval: Literal["day", "week", "month", "year"]
    interval_count: int = Field(description="Number of intervals between two charges.", examples=[1])
    trial_days: int = Field(description="Days before the first charge; 0 for none.", examples=[14])
    amount: int = Field(description="Minor units, for each charge.", examples=[900])
    currency: str = Field(examples=["usd"])


class CheckoutBody(Body):
    """A checkout that the buyer can pay with Stripe.js."""

    client_secret: str = Field(description="For Stripe.js on this page only; never store it.")
    checkout_attempt_id: str = Field(description="All that the frontend stores.")
    intent_type: Literal["payment", "setup"] = Field(
        description="payment charges the one-time lines and the shipping; setup only saves the payment method, where "
        "nothing is charged now but subscriptions begin."
    )
    intent_amount: int = Field(description="Amount of this intent, minor units; 0 for setup.", examples=[2500])
    amount_due_today: int = Field(
        description="intentAmount plus the first charges of subscriptions without a trial, minor units.",
        examples=[3400],
    )
    currency: str = Field(examples=["usd"])
    recurring: list[RecurringSumBody] = Field(
        description="Recurring charges, one sum for each billing interval; empty for one-time carts."
    )
    pay_by: datetime = Field(description="When the checkout expires.")


def checkout_to_body(checkout: Checkout) -> CheckoutBody:
    """Show a checkout that the buyer can pay."""
    return CheckoutBody(
        client_secret=checkout.client_secret,
        checkout_attempt_id=checkout.attempt_id,
        intent_type=checkout.kind.value,
        intent_amount=checkout.amount.minor_units,
        amount_due_today=checkout.amount_due_today.minor_units,
        currency=checkout.amount.currency,
        recurring=[_recurring_sum_to_body(each) for each in checkout.recurring],
        pay_by=checkout.pay_by,
    )


def _recurring_sum_to_body(charged: RecurringSum) -> RecurringSumBody:
    return RecurringSumBody(
        interval=charged.recurring.interval.value,
        interval_count=charged.recurring.interval_count,
        trial_days=charged.recurring.trial_days,
        amount=charged.amount.minor_units,
        currency=charged.amount.currency,
    )


_ONE_INTENT: Final[JsonDict] = {
    "oneOf": [
        {
            "required": [given],
            "properties": {given: {"type": "string"}, other: {"type": "null"}},
        }
        for given, other in (("paymentIntentId", "setupIntentId"), ("setupIntentId", "paymentIntentId"))
    ]
}


class CompleteCheckoutBody(RequestBody):
    """The checkout that the browser returned from, with exactly one of the two intent ids."""

    model_config = ConfigDict(json_schema_extra=_ONE_INTENT)

    checkout_attempt_id: Uuid
    payment_intent_id: Annotated[StrictStr, Field(pattern=r"^pi_[A-Za-z0-9_]{1,200}$")] | None = None
    setup_intent_id: Annotated[StrictStr, Field(pattern=r"^seti_[A-Za-z0-9_]{1,200}$")] | None = None


def intent_ref_from_body(body: CompleteCheckoutBody) -> IntentRef:
    """Return the intent that the body names. Raises InvalidRequest unless it names exactly one."""
    if body.payment_intent_id is not None and body.setup_intent_id is None:
        return IntentRef(body.payment_intent_id, IntentKind.PAYMENT)
    if body.setup_intent_id is not None and body.payment_intent_id is None:
        return IntentRef(body.setup_intent_id, IntentKind.SETUP)
    raise InvalidRequest([FieldViolation("paymentIntentId", "or setupIntentId is required, and only one of them")])


_STATUS_MEANINGS: Final = """\
- `open`: can be paid until its payBy. The same request with the same Idempotency-Key returns its client secret.
- `requires_action`: the buyer must authenticate, with the same client secret.
- `payment_failed`: the last try was declined; the buyer may try again with the same client secret.
- `processing`: paid or at the bank, and not recorded yet. Ask again later; do not let the buyer pay again.
- `completed`: `purchase` says what was bought.
- `expired`: not paid in time, and not payable any more. Begin another checkout, with a new key, that supersedes it.
- `superseded`: replaced after a change of the cart, and not payable any more. Go on with the newer checkout; if its \
id is lost, begin another that supersedes this one. If the newer one is paid, that is answered `already_paid`.
- `needs_review`: the payment arrived, and a person decides what becomes of it. Its sum differs, it was refunded \
before it was recorded, or the checkout's content is lost or unreadable. Thank the buyer; do not ask for money again.
"""


class CheckoutStatusBody(Body):
    """Status of a checkout."""

    status: Literal[
        "open",
        "processing",
        "requires_action",
        "payment_failed",
        "completed",
        "expired",
        "superseded",
        "needs_review",
    ] = Field(description=_STATUS_MEANINGS)
    purchase: PurchaseBody | None = Field(default=None, description="With status completed.")


def status_to_body(status: CheckoutStatus, portal_url: str | None) -> CheckoutStatusBody:
    """Show a checkout's status."""
    return CheckoutStatusBody(
        status=status.state.value,
        purchase=purchase_to_body(status.purchase, portal_url, status.open_payments) if status.purchase else None,
    )
