"""Request and response bodies: camelCase JSON, strict, unknown fields refused."""

import unicodedata
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictInt, StrictStr, validate_email
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from checkout_rules.limits import MAX_CART_LINES, MAX_ID_CHARACTERS, MAX_TEXT_CHARACTERS
from payments_gateway.domain.attempts import is_attempt_id

_MAX_QUANTITY = 1_000_000


def _is_clean(text: str) -> str:
    """Refuse control characters: PostgreSQL stores no NUL, and none of them belongs into a name or an address."""
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in text):
        raise ValueError("must not contain control characters")
    if not text.strip():
        raise ValueError("must not be blank")
    return text


def _is_email(text: str) -> str:
    try:
        return validate_email(text)[1]
    except PydanticCustomError:
        raise ValueError("must be an e-mail address") from None  # the library's message quotes what was sent (P7)


def _is_uuid(text: str) -> str:
    if not is_attempt_id(text):
        raise ValueError("must be a UUID in lower case")
    return text


Text = Annotated[StrictStr, AfterValidator(_is_clean)]
Name = Annotated[Text, Field(max_length=256)]
AddressLine = Annotated[Text, Field(max_length=MAX_TEXT_CHARACTERS)]
Email = Annotated[StrictStr, AfterValidator(_is_email), Field(max_length=512, json_schema_extra={"format": "email"})]
Uuid = Annotated[StrictStr, AfterValidator(_is_uuid)]
StripeId = Annotated[StrictStr, Field(pattern=rf"^[A-Za-z0-9_]{{1,{MAX_ID_CHARACTERS}}}$")]


class Body(BaseModel):
    """What every body has in common."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


class RequestBody(Body):
    """What a client sends: fields go by their camelCase names and by no other."""

    model_config = ConfigDict(populate_by_name=False)


class ItemBody(RequestBody):
    """One line of a cart. Lines of the same price become one."""

    price_id: StripeId = Field(description="Stripe Price id.", examples=["price_1Mug"])
    quantity: Annotated[StrictInt, Field(ge=1, le=_MAX_QUANTITY)] = Field(examples=[2])


class ContactBody(RequestBody):
    """How the shop reaches the buyer."""

    email: Email = Field(examples=["ada@example.com"])
    name: Name = Field(examples=["Ada Lovelace"])
    phone: Annotated[Text, Field(max_length=40)] | None = Field(default=None, examples=["+44 20 7946 0958"])


class AddressBody(RequestBody):
    """A postal address, in Stripe's terms."""

    line1: AddressLine = Field(examples=["12 St James's Square"])
    line2: AddressLine | None = None
    city: AddressLine | None = Field(default=None, examples=["London"])
    state: AddressLine | None = None
    postal_code: AddressLine | None = Field(default=None, examples=["SW1Y 4JH"])
    country: Annotated[StrictStr, Field(pattern=r"^[A-Z]{2}$")] = Field(
        description="ISO 3166-1 alpha-2, upper case.", examples=["GB"]
    )


class InitiateCheckoutBody(RequestBody):
    """What the buyer wants to buy. Prices, sums and the user are not the client's to say."""

    items: Annotated[list[ItemBody], Field(min_length=1, max_length=MAX_CART_LINES)]
    contact: ContactBody
    shipping_address: AddressBody | None = None
    shipping_option_id: StripeId | None = Field(
        default=None, description="Stripe ShippingRate id, from the catalogue. Requires shippingAddress."
    )
    supersedes: Uuid | None = Field(
        default=None, description="The checkoutAttemptId that this checkout replaces, when the cart changed."
    )


class RecurringBody(Body):
    """How often a price charges, and when first."""

    interval: Literal["day", "week", "month", "year"]
    interval_count: int = Field(description="How many intervals lie between two charges.", examples=[1])
    trial_days: int = Field(description="Days before the first charge; 0 for none.", examples=[14])


class RecurringSumBody(RecurringBody):
    """What all lines of one billing interval come to, each time they are charged."""

    amount: int = Field(description="Minor units.", examples=[900])
    currency: str = Field(examples=["usd"])


class CheckoutBody(Body):
    """What the frontend needs to let the buyer pay."""

    client_secret: str = Field(description="For Stripe.js on this page only; never store it.")
    checkout_attempt_id: str = Field(description="All that the frontend keeps.")
    intent_type: Literal["payment", "setup"] = Field(
        description="payment takes the one-time lines and the shipping; setup only keeps the payment method, where "
        "nothing is taken now but subscriptions begin."
    )
    intent_amount: int = Field(description="What this intent takes, minor units; 0 for setup.", examples=[2500])
    amount_due_today: int = Field(
        description="intentAmount with the first charges of the subscriptions that have no trial, minor units.",
        examples=[3400],
    )
    currency: str = Field(examples=["usd"])
    recurring: list[RecurringSumBody] = Field(
        description="What is charged again and again, one sum for each billing interval; empty for one-time carts."
    )
    pay_by: datetime = Field(description="Until when the buyer can pay.")


class CompleteCheckoutBody(RequestBody):
    """Which checkout the browser came back from. Exactly one of the two intent ids."""

    checkout_attempt_id: Uuid
    payment_intent_id: Annotated[StrictStr, Field(pattern=r"^pi_[A-Za-z0-9_]{1,200}$")] | None = None
    setup_intent_id: Annotated[StrictStr, Field(pattern=r"^seti_[A-Za-z0-9_]{1,200}$")] | None = None


class BoughtItemBody(Body):
    """One line of an order."""

    price_id: str
    product_id: str
    name: str
    quantity: int
    unit_amount: int = Field(description="Minor units.")


class BoughtShippingBody(Body):
    """The shipping that was chosen."""

    id: str
    name: str
    amount: int = Field(description="Minor units.")


class OrderSummaryBody(Body):
    """An order without anything personal: whoever holds the attempt id may read it."""

    id: str
    number: str = Field(description="To be read out on the phone.")
    checkout_attempt_id: str
    status: Literal["paid", "unknown"] = Field(description="unknown while the gateway is older than orders.")
    total_amount: int = Field(description="Minor units; what Stripe received.")
    currency: str
    refunded_amount: int | None = Field(
        default=None,
        description="Minor units; refunds that are made or under way, those that failed left out. Absent when none.",
        examples=[500],
    )
    disputed_amount: int | None = Field(
        default=None,
        description="Minor units; disputes that are open or lost, those that were won left out. Absent when none.",
    )
    items: list[BoughtItemBody]
    shipping_option: BoughtShippingBody | None = None
    created_at: datetime


class BuyerBody(Body):
    """How the shop reaches the buyer of an order."""

    email: str
    name: str
    phone: str | None = None


class ShippedToBody(Body):
    """Where an order is shipped."""

    line1: str
    line2: str | None = None
    city: str | None = None
    state: str | None = None
    postal_code: str | None = None
    country: str


class OrderBody(OrderSummaryBody):
    """An order as its owner reads it."""

    contact: BuyerBody
    shipping_address: ShippedToBody | None = None


class FirstPaymentBody(Body):
    """Lets the buyer finish the first charge of a subscription."""

    client_secret: str = Field(description="For Stripe.js on this page only; never store it.")


class SubscriptionBody(Body):
    """A subscription without anything personal: whoever holds the attempt id may read it."""

    id: str
    status: Literal[
        "pending",
        "activation_failed",
        "incomplete",
        "incomplete_expired",
        "trialing",
        "active",
        "past_due",
        "unpaid",
        "paused",
        "canceled",
        "unknown",
    ] = Field(
        description="Stripe's word; pending until Stripe has created it, activation_failed where Stripe refuses to, "
        "unknown while the gateway is older than orders."
    )
    checkout_attempt_id: str
    items: list[BoughtItemBody]
    currency: str
    amount: int = Field(description="Minor units; what is charged each time.")
    interval: Literal["day", "week", "month", "year", "unknown"]
    interval_count: int = Field(description="How many intervals lie between two charges.")
    trial_end: datetime | None = None
    current_period_end: datetime | None = Field(default=None, description="When it is charged next, unless it ends.")
    cancel_at_period_end: bool = Field(description="Whether it ends with the current period.")
    ended_at: datetime | None = None
    created_at: datetime
    payment: FirstPaymentBody | None = Field(
        default=None,
        description="With status incomplete, while the first charge can be finished by the buyer and Stripe answers.",
    )


class SubscriptionPageBody(Body):
    """Some of the user's subscriptions, newest first."""

    subscriptions: Sequence[SubscriptionBody]
    next_cursor: str | None = Field(default=None, description="Pass as cursor to read on; absent on the last page.")


class CancelSubscriptionBody(RequestBody):
    """How a subscription is to end."""

    mode: Literal["at_period_end", "now", "undo"] = Field(
        default="at_period_end", description="undo takes at_period_end back, as long as the period lasts."
    )


class PurchaseBody(Body):
    """What a checkout came to."""

    status: Literal["completed", "processing", "needs_review"]
    order: OrderSummaryBody | None = Field(
        default=None, description="Absent when nothing but subscriptions was bought."
    )
    subscriptions: list[SubscriptionBody] = Field(
        default=[], description="One for each billing interval; empty for one-time carts."
    )


class CheckoutStatusBody(Body):
    """Where a checkout stands."""

    status: Literal[
        "open",
        "processing",
        "requires_action",
        "payment_failed",
        "completed",
        "expired",
        "superseded",
        "needs_review",
    ]
    purchase: PurchaseBody | None = None


class OrderPageBody(Body):
    """Some of the user's orders, newest first."""

    orders: Sequence[OrderBody]
    next_cursor: str | None = Field(default=None, description="Pass as cursor to read on; absent on the last page.")


class CatalogueItemBody(Body):
    """A price that can be put into a cart."""

    price_id: str
    product_id: str
    name: str
    description: str | None
    image_url: str | None = None
    unit_amount: int = Field(description="Minor units.")
    currency: str
    type: Literal["one_time", "recurring"]
    recurring: RecurringBody | None = Field(default=None, description="With type recurring.")


class ShippingOptionBody(Body):
    """A way of shipping that can be chosen."""

    id: str
    name: str
    amount: int = Field(description="Minor units.")
    currency: str


class CatalogueBody(Body):
    """Everything on sale."""

    items: list[CatalogueItemBody]
    shipping_options: list[ShippingOptionBody]


class ConfigBody(Body):
    """What the frontend needs to load Stripe.js."""

    publishable_key: str
    stripe_js_url: str
