"""Payment methods: cards and bank accounts that intents are paid with (https://docs.stripe.com/api/payment_methods)."""

from dataclasses import dataclass, replace
from typing import Any

import stripe.params as shapes

from stripe_simulator.account import Account
from stripe_simulator.api_errors import ApiError, invalid, resource_missing
from stripe_simulator.collection import StripeObject, created_within, equal_to, every
from stripe_simulator.endpoints import Call, Endpoint, Resource
from stripe_simulator.instruments import (
    ACCOUNTS_BY_IBAN,
    ACCOUNTS_BY_NUMBER,
    CARDS_BY_LEGACY_TOKEN,
    CARDS_BY_NUMBER,
    INSTRUMENTS_BY_TOKEN,
    US_ROUTING_NUMBER,
    Instrument,
    passes_luhn,
)
from stripe_simulator.parameters import Parameters, Params, merge_metadata
from stripe_simulator.resources.shared_shapes import address_of

COLLECTION = "payment_methods"
KIND = "payment_method"
_FIRST_MONTH, _LAST_MONTH = 1, 12
_LAST_YEAR = 2099


@dataclass(frozen=True, slots=True)
class MethodState:
    """What the simulator knows of a payment method that no answer shows.

    `spent`: used without belonging to a customer, or detached, so it cannot be used again.
    `set_up`: the buyer has authenticated it for off-session use.
    """

    instrument: Instrument
    spent: bool = False
    set_up: bool = False


def method_state(account: Account, method_id: str) -> MethodState:
    """Answer what is known of a payment method."""
    state: MethodState = account.secrets[method_id]
    return state


def mark_spent(account: Account, method_id: str) -> None:
    """Remember that a payment method cannot be used again."""
    account.secrets[method_id] = replace(method_state(account, method_id), spent=True)


def mark_set_up(account: Account, method_id: str) -> None:
    """Remember that the buyer has authenticated a payment method for off-session use."""
    account.secrets[method_id] = replace(method_state(account, method_id), set_up=True)


def resolve_method(account: Account, method_id: str) -> StripeObject:
    """Answer the payment method for an id in a parameter; a test token makes a fresh one."""
    instrument = INSTRUMENTS_BY_TOKEN.get(method_id)
    if instrument:
        return new_method(account, instrument, {})
    found = account[COLLECTION].find(method_id)
    if found is None:
        raise resource_missing("PaymentMethod", method_id, param=KIND, status=400)
    return found


def method_from_data(account: Account, data: Params) -> StripeObject:
    """Make a payment method from `type` and details, as `payment_method_data` and the create call give them."""
    kind = data["type"]
    reader = _READERS.get(kind)
    if reader is None:
        raise invalid(f"The simulator does not model payment methods of type '{kind}'.", param="type")
    if kind not in data:
        raise invalid(f"Missing required param: {kind}.", param=kind, code="parameter_missing")
    return new_method(account, reader(account, data[kind]), data)


def new_method(account: Account, instrument: Instrument, data: Params) -> StripeObject:
    """Store a new payment method."""
    details = data.get("billing_details") or {}
    method = account[COLLECTION].add(
        {
            "id": account.ids.new("pm"),
            "object": KIND,
            "allow_redisplay": data.get("allow_redisplay", "unspecified"),
            "billing_details": {
                "address": address_of(details.get("address")),
                "email": details.get("email") or None,
                "name": details.get("name") or None,
                "phone": details.get("phone") or None,
                "tax_id": details.get("tax_id"),
            },
            "created": account.clock.timestamp(),
            "customer": None,
            "customer_account": None,
            "livemode": False,
            "metadata": merge_metadata({}, data.get("metadata")),
            "type": instrument.type,
            instrument.type: describe(account, instrument, data.get("card") or {}),
        }
    )
    account.secrets[method["id"]] = MethodState(instrument)
    return method


def describe(account: Account, instrument: Instrument, card: Params) -> StripeObject:
    """Answer what Stripe shows of the card or bank account."""
    if instrument.type == "card":
        return {
            "brand": instrument.brand,
            "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
            "country": instrument.country,
            "display_brand": instrument.brand,
            "exp_month": card.get("exp_month", 12),
            "exp_year": card.get("exp_year", 2034),
            "fingerprint": account.ids.fingerprint(),
            "funding": instrument.funding,
            "generated_from": None,
            "last4": instrument.last4,
            "networks": {"available": [instrument.brand], "preferred": None},
            "three_d_secure_usage": {"supported": True},
            "wallet": None,
        }
    if instrument.type == "sepa_debit":
        shown = {"bank_code": instrument.bank, "branch_code": "", "country": instrument.country}
        return shown | {"fingerprint": account.ids.fingerprint(), "generated_from": None, "last4": instrument.last4}
    return {
        "account_holder_type": "individual",
        "account_type": "checking",
        "bank_name": "STRIPE TEST BANK",
        "fingerprint": account.ids.fingerprint(),
        "last4": instrument.last4,
        "routing_number": instrument.bank,
    }


def attach(account: Account, method: StripeObject, customer: str) -> StripeObject:
    """Give a payment method to a customer, if its bank lets it be saved."""
    state = method_state(account, method["id"])
    account["customers"].get(customer, param="customer", status=400)
    if method["customer"] not in (None, customer):
        raise invalid("The payment method you provided has already been attached to a customer.", param=KIND)
    if state.spent:
        raise previously_used()
    if state.instrument.refuses_attachment and state.instrument.decline:
        raise _attachment_declined(state.instrument)
    if method["customer"] == customer:
        return method
    return account.change(COLLECTION, method, "payment_method.attached", customer=customer)


def previously_used() -> ApiError:
    """Make the answer for a payment method that cannot be used again."""
    return invalid(
        "The provided PaymentMethod was previously used with a PaymentIntent without Customer attachment, shared with "
        "a connected account without Customer attachment, or was detached from a Customer. It may not be used again. "
        "To use a PaymentMethod multiple times, you must attach it to a Customer first.",
        param=KIND,
    )


def _attachment_declined(instrument: Instrument) -> ApiError:
    decline = instrument.decline
    assert decline  # noqa: S101 - the caller has looked
    details = {"decline_code": decline.decline_code} if decline.decline_code else {}
    return ApiError(402, decline.message, kind="card_error", code=decline.code, details=details)


def _card(account: Account, card: Params) -> Instrument:
    if "token" in card:
        instrument = CARDS_BY_LEGACY_TOKEN.get(card["token"])
        if instrument is None:
            raise resource_missing("token", card["token"], param="card[token]", status=400)
        return instrument
    number = str(card.get("number", "")).replace(" ", "")
    _check_expiry(account, card)
    if not number.isdecimal() or not passes_luhn(number):
        raise _card_error("incorrect_number", "Your card number is incorrect.", "number")
    if number not in CARDS_BY_NUMBER:
        raise _card_error(
            "card_declined",
            "Your card was declined. Your request was in test mode, but used a non test card. For a list of valid test "
            "cards, visit: https://stripe.com/docs/testing.",
            None,
            "test_mode_live_card",
        )
    return CARDS_BY_NUMBER[number]


def _check_expiry(account: Account, card: Params) -> None:
    for name in ("exp_month", "exp_year"):
        if name not in card:
            raise invalid(f"Missing required param: card[{name}].", param=f"card[{name}]", code="parameter_missing")
    now = account.clock.today()
    month, year = card["exp_month"], card["exp_year"]
    if not _FIRST_MONTH <= month <= _LAST_MONTH:
        raise _card_error("invalid_expiry_month", "Your card's expiration month is invalid.", "exp_month")
    if (year, month) < (now.year, now.month) or year > _LAST_YEAR:
        raise _card_error("invalid_expiry_year", "Your card's expiration year is invalid.", "exp_year")


def _card_error(code: str, message: str, param: str | None, decline_code: str | None = None) -> ApiError:
    details = {"decline_code": decline_code} if decline_code else {}
    return ApiError(402, message, kind="card_error", code=code, param=param, details=details)


def _sepa_debit(_: Account, data: Params) -> Instrument:
    instrument = ACCOUNTS_BY_IBAN.get(data["iban"].replace(" ", "").upper())
    if instrument is None:
        raise invalid("The IBAN you provided is invalid.", param="sepa_debit[iban]", code="invalid_iban")
    return instrument


def _us_bank_account(_: Account, data: Params) -> Instrument:
    instrument = ACCOUNTS_BY_NUMBER.get(data.get("account_number", ""))
    if instrument is None or data.get("routing_number") != US_ROUTING_NUMBER:
        raise invalid(
            "You must use a test bank account number in test mode. Try 000123456789 or see more options at "
            "https://stripe.com/docs/testing.",
            param="us_bank_account[account_number]",
            code="account_number_invalid",
        )
    return instrument


_READERS: dict[str, Any] = {"card": _card, "sepa_debit": _sepa_debit, "us_bank_account": _us_bank_account}


def _create(call: Call) -> StripeObject:
    if "type" not in call.params:
        raise invalid("Missing required param: type.", param="type", code="parameter_missing")
    return method_from_data(call.account, call.params)


def _retrieve(call: Call) -> StripeObject:
    return call.account[COLLECTION].get(call.id, param=KIND)


def _update(call: Call) -> StripeObject:
    method = _retrieve(call)
    if method["customer"] is None:
        raise invalid("You must save this PaymentMethod to a customer before you can update it.", param=KIND)
    metadata = merge_metadata(method["metadata"], call.params.get("metadata"))
    return call.account.change(COLLECTION, method, "payment_method.updated", metadata=metadata)


def _attach(call: Call) -> StripeObject:
    if "customer" not in call.params:
        raise invalid("Missing required param: customer.", param="customer", code="parameter_missing")
    return attach(call.account, resolve_method(call.account, call.id), call.params["customer"])


def _detach(call: Call) -> StripeObject:
    method = _retrieve(call)
    if method["customer"] is None:
        raise invalid("The payment method you provided is not attached to a customer so detachment is impossible.")
    mark_spent(call.account, method["id"])
    return call.account.change(COLLECTION, method, "payment_method.detached", customer=None)


def _list(call: Call) -> StripeObject:
    if "customer" in call.params:
        call.account["customers"].get(call.params["customer"], param="customer", status=400)
    attached = every(lambda method: method["customer"] is not None, equal_to(call.params, "customer", "type"))
    return call.account[COLLECTION].page(call.url, call.params, every(attached, created_within(call.params)))


def _list_of_customer(call: Call) -> StripeObject:
    customer = call.account["customers"].get(call.id, param="customer")
    owned = every(equal_to({"customer": customer["id"]}, "customer"), equal_to(call.params, "type"))
    return call.account[COLLECTION].page(call.url, call.params, owned)


def _retrieve_of_customer(call: Call) -> StripeObject:
    method = call.account[COLLECTION].get(call.ids[1], param=KIND)
    if method["customer"] != call.id:
        raise resource_missing(KIND, call.ids[1], param=KIND)
    return method


_CURSORS = ("limit", "starting_after", "ending_before")
_DETAILS = ("allow_redisplay", "billing_details", "card", "metadata", "sepa_debit", "type", "us_bank_account")
METHOD_PARAMETERS = Parameters(shapes.PaymentMethodCreateParams, _DETAILS)

RESOURCE = Resource(
    collection=COLLECTION,
    kind=KIND,
    expandable={"customer": "customers"},
    endpoints=(
        Endpoint("POST", "/v1/payment_methods", _create, METHOD_PARAMETERS),
        Endpoint(
            "GET",
            "/v1/payment_methods",
            _list,
            Parameters(shapes.PaymentMethodListParams, ("customer", "type", *_CURSORS)),
        ),
        Endpoint("GET", "/v1/payment_methods/{id}", _retrieve, Parameters(shapes.PaymentMethodRetrieveParams, ())),
        Endpoint(
            "POST", "/v1/payment_methods/{id}", _update, Parameters(shapes.PaymentMethodUpdateParams, ("metadata",))
        ),
        Endpoint(
            "POST",
            "/v1/payment_methods/{id}/attach",
            _attach,
            Parameters(shapes.PaymentMethodAttachParams, ("customer",)),
        ),
        Endpoint("POST", "/v1/payment_methods/{id}/detach", _detach, Parameters(shapes.PaymentMethodDetachParams, ())),
        Endpoint(
            "GET",
            "/v1/customers/{id}/payment_methods",
            _list_of_customer,
            Parameters(shapes.CustomerPaymentMethodListParams, ("type", *_CURSORS)),
        ),
        Endpoint(
            "GET",
            "/v1/customers/{id}/payment_methods/{id}",
            _retrieve_of_customer,
            Parameters(shapes.CustomerPaymentMethodRetrieveParams, ()),
        ),
    ),
)
