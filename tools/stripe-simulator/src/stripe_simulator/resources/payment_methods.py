"""Payment methods: cards, bank accounts and wallets (https://docs.stripe.com/api/payment_methods)."""

from dataclasses import dataclass, replace
from typing import Any

import stripe.params as shapes

from stripe_simulator.account import Account
from stripe_simulator.api_errors import ApiError, invalid, resource_missing
from stripe_simulator.collection import StripeObject
from stripe_simulator.endpoints import Call, Endpoint, Resource
from stripe_simulator.instruments import (
    ACCOUNTS_BY_IBAN,
    ACCOUNTS_BY_NUMBER,
    CARDS_BY_NUMBER,
    INSTRUMENTS_BY_TOKEN,
    REDIRECTING,
    ROUTING_NUMBER,
    Instrument,
    passes_luhn,
)
from stripe_simulator.parameters import NOT_MODELLED, Parameters, Params, merge_metadata
from stripe_simulator.resources.nested_objects import to_address

COLLECTION = "payment_methods"
KIND = "payment_method"
_FIRST_MONTH, _LAST_MONTH = 1, 12
_LAST_YEAR = 2099


@dataclass(frozen=True, slots=True)
class MethodState:
    """Data of a payment method that no response shows.

    `spent`: used without a customer, or detached, so that it cannot be used again.
    `set_up`: authenticated by the buyer for off-session use.
    """

    instrument: Instrument
    spent: bool = False
    set_up: bool = False


def method_state(account: Account, method_id: str) -> MethodState:
    """Return the hidden data of a payment method."""
    state: MethodState = account.secrets[method_id]
    return state


def mark_spent(account: Account, method_id: str) -> None:
    """Mark a payment method as unusable."""
    account.secrets[method_id] = replace(method_state(account, method_id), spent=True)


def mark_set_up(account: Account, method_id: str) -> None:
    """Mark a payment method as authenticated for off-session use."""
    account.secrets[method_id] = replace(method_state(account, method_id), set_up=True)


def resolve_method(account: Account, method_id: str) -> StripeObject:
    """Return the payment method for an id in a parameter. A test token creates a new one."""
    instrument = INSTRUMENTS_BY_TOKEN.get(method_id)
    if instrument:
        return new_method(account, instrument, {})
    found = account[COLLECTION].find(method_id)
    if found is None:
        raise resource_missing("PaymentMethod", method_id, param=KIND, status=400)
    return found


def method_from_data(account: Account, data: Params) -> StripeObject:
    """Create a payment method from the parameters of a create call or of `payment_method_data`."""
    kind = data["type"]
    if kind in REDIRECTING:
        return new_method(account, REDIRECTING[kind], data)
    reader = _READERS.get(kind)
    if reader is None:
        message = f"The simulator does not model payment methods of type '{kind}'."
        raise invalid(message, param="type", code=NOT_MODELLED)
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
                "address": to_address(details.get("address")),
                "email": details.get("email") or None,
                "name": details.get("name") or None,
                "phone": details.get("phone") or None,
                "tax_id": details.get("tax_id"),
            },
            "created": account.clock.timestamp(),
            "customer": None,
            "customer_account": None,
            "livemode": account.livemode,
            "metadata": merge_metadata({}, data.get("metadata")),
            "type": instrument.type,
            instrument.type: describe(account, instrument, data.get("card") or {}),
        }
    )
    account.secrets[method["id"]] = MethodState(instrument)
    return method


def describe(account: Account, instrument: Instrument, card: Params) -> StripeObject:
    """Return the visible details of the card, bank account or wallet."""
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
            "regulated_status": "unregulated",
            "three_d_secure_usage": {"supported": True},
            "wallet": None,
        }
    if instrument.type == "sepa_debit":
        shown = {"bank_code": instrument.bank, "branch_code": "", "country": instrument.country}
        return shown | {"fingerprint": account.ids.fingerprint(), "generated_from": None, "last4": instrument.last4}
    if instrument.type == "ideal":
        return {"bank": None, "bic": None}
    if instrument.type == "amazon_pay":
        return {}
    return {
        "account_holder_type": "individual",
        "account_type": "checking",
        "bank_name": "STRIPE TEST BANK",
        "financial_connections_account": None,
        "fingerprint": account.ids.fingerprint(),
        "last4": instrument.last4,
        "networks": {"preferred": "ach", "supported": ["ach"]},
        "routing_number": instrument.bank,
        "status_details": {},
    }


def attach(account: Account, method: StripeObject, customer: str) -> StripeObject:
    """Attach a payment method to a customer. Raises Stripe's error if the bank declines."""
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
    """Build the error for a spent payment method."""
    return invalid(
        "The provided PaymentMethod was previously used with a PaymentIntent without Customer attachment, shared with "
        "a connected account without Customer attachment, or was detached from a Customer. It may not be used again. "
        "To use a PaymentMethod multiple times, you must attach it to a Customer first.",
        param=KIND,
    )


def _attachment_declined(instrument: Instrument) -> ApiError:
    decline = instrument.decline
    assert decline  # noqa: S101 - checked by the caller
    details = {"decline_code": decline.decline_code} if decline.decline_code else {}
    return ApiError(402, decline.message, kind="card_error", code=decline.code, details=details)


def _card(account: Account, card: Params) -> Instrument:
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
        raise invalid("The IBAN you provided is invalid.", param="sepa_debit[iban]")
    return instrument


def _us_bank_account(_: Account, data: Params) -> Instrument:
    """Return a test account. It counts as verified, as one that Stripe.js has connected."""
    if data.get("routing_number") != ROUTING_NUMBER:
        raise invalid(
            "The bank routing number provided is invalid.",
            param="us_bank_account[routing_number]",
            code="routing_number_invalid",
        )
    instrument = ACCOUNTS_BY_NUMBER.get(data.get("account_number", ""))
    if instrument is None:
        raise invalid(
            "The bank account number provided is invalid.",
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


def _detach(call: Call) -> StripeObject:
    method = _retrieve(call)
    if method["customer"] is None:
        raise invalid("The payment method you provided is not attached to a customer so detachment is impossible.")
    mark_spent(call.account, method["id"])
    return call.account.change(COLLECTION, method, "payment_method.detached", customer=None)


_DETAILS = (
    "allow_redisplay",
    "amazon_pay",
    "billing_details",
    "card",
    "ideal",
    "metadata",
    "sepa_debit",
    "type",
    "us_bank_account",
)
METHOD_PARAMETERS = Parameters(shapes.PaymentMethodCreateParams, _DETAILS)

RESOURCE = Resource(
    collection=COLLECTION,
    kind=KIND,
    expandable={"customer": "customers"},
    endpoints=(
        Endpoint("POST", "/v1/payment_methods", _create, METHOD_PARAMETERS),
        Endpoint("GET", "/v1/payment_methods/{id}", _retrieve, Parameters(shapes.PaymentMethodRetrieveParams, ())),
        Endpoint("POST", "/v1/payment_methods/{id}/detach", _detach, Parameters(shapes.PaymentMethodDetachParams, ())),
    ),
)
