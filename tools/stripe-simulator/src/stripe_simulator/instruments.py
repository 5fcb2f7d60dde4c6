"""Cards, bank accounts and wallets of Stripe's test mode, with the outcome of charging each.

Numbers, tokens and outcomes follow https://docs.stripe.com/testing; the bank accounts follow
https://docs.stripe.com/payments/sepa-debit/accept-a-payment and
https://docs.stripe.com/payments/ach-direct-debit/accept-a-payment.
"""

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Decline:
    """A bank's reason to decline (https://docs.stripe.com/declines/codes)."""

    code: str
    message: str
    decline_code: str | None = None


GENERIC = Decline("card_declined", "Your card was declined.", "generic_decline")
INSUFFICIENT_FUNDS = Decline("card_declined", "Your card has insufficient funds.", "insufficient_funds")
LOST = Decline("card_declined", "Your card was declined.", "lost_card")
STOLEN = Decline("card_declined", "Your card was declined.", "stolen_card")
VELOCITY = Decline("card_declined", "Your card was declined.", "card_velocity_exceeded")
FRAUDULENT = Decline("card_declined", "Your card was declined.", "fraudulent")
EXPIRED = Decline("expired_card", "Your card has expired.", "expired_card")
INCORRECT_CVC = Decline("incorrect_cvc", "Your card's security code is incorrect.", "incorrect_cvc")
PROCESSING = Decline(
    "processing_error", "An error occurred while processing your card. Try again in a little bit.", "processing_error"
)
DEBIT_FAILED = Decline(
    "payment_intent_payment_attempt_failed",
    "The payment failed because the bank declined the debit.",
)
ACCOUNT_CLOSED = Decline("debit_not_authorized", "The customer's bank account has been closed.")
NO_FUNDS_IN_ACCOUNT = Decline(
    "insufficient_funds", "The customer's account has insufficient funds to cover this payment."
)


class Challenge(StrEnum):
    """Condition under which 3-D Secure challenges the buyer."""

    NEVER = "never"
    ALWAYS = "always"
    UNLESS_SET_UP = "unless set up for off-session use"


@dataclass(frozen=True, slots=True)
class Instrument:
    """A test card, bank account or wallet.

    With `settles`, a payment stays in `processing` until the debit settles. With `redirects`, the buyer approves or
    refuses it on a page of the bank or wallet.
    """

    type: str
    last4: str
    brand: str = ""
    country: str = "US"
    funding: str = "credit"
    challenge: Challenge = Challenge.NEVER
    decline: Decline | None = None
    refuses_attachment: bool = False
    settles: bool = False
    redirects: bool = False
    bank: str = ""


def _card(number: str, brand: str = "visa", **behaviour: object) -> Instrument:
    return Instrument(type="card", last4=number[-4:], brand=brand, **behaviour)  # type: ignore[arg-type]  # checked by tests


# By number: token names and instrument.
_CARD_TABLE: dict[str, tuple[tuple[str, ...], Instrument]] = {
    number: (tokens, _card(number, **behaviour))
    for number, tokens, behaviour in (
        ("4242424242424242", ("pm_card_visa",), {}),
        ("4000056655665556", ("pm_card_visa_debit",), {"funding": "debit"}),
        ("5555555555554444", ("pm_card_mastercard",), {"brand": "mastercard"}),
        ("2223003122003222", (), {"brand": "mastercard"}),
        ("5200828282828210", ("pm_card_mastercard_debit",), {"brand": "mastercard", "funding": "debit"}),
        ("378282246310005", ("pm_card_amex",), {"brand": "amex"}),
        ("6011111111111117", ("pm_card_discover",), {"brand": "discover"}),
        ("4000002760000016", ("pm_card_de",), {"country": "DE"}),
        (
            "4000000000000002",
            ("pm_card_chargeDeclined", "pm_card_visa_chargeDeclined"),
            {"decline": GENERIC, "refuses_attachment": True},
        ),
        (
            "4000000000009995",
            ("pm_card_chargeDeclinedInsufficientFunds", "pm_card_visa_chargeDeclinedInsufficientFunds"),
            {"decline": INSUFFICIENT_FUNDS, "refuses_attachment": True},
        ),
        (
            "4000000000009987",
            ("pm_card_chargeDeclinedLostCard", "pm_card_visa_chargeDeclinedLostCard"),
            {"decline": LOST, "refuses_attachment": True},
        ),
        (
            "4000000000009979",
            ("pm_card_chargeDeclinedStolenCard", "pm_card_visa_chargeDeclinedStolenCard"),
            {"decline": STOLEN, "refuses_attachment": True},
        ),
        (
            "4000000000000069",
            ("pm_card_chargeDeclinedExpiredCard",),
            {"decline": EXPIRED, "refuses_attachment": True},
        ),
        (
            "4000000000000127",
            ("pm_card_chargeDeclinedIncorrectCvc",),
            {"decline": INCORRECT_CVC, "refuses_attachment": True},
        ),
        (
            "4000000000000119",
            ("pm_card_chargeDeclinedProcessingError",),
            {"decline": PROCESSING, "refuses_attachment": True},
        ),
        (
            "4000000000006975",
            ("pm_card_visa_chargeDeclinedVelocityLimitExceeded",),
            {"decline": VELOCITY, "refuses_attachment": True},
        ),
        ("4100000000000019", ("pm_card_radarBlock",), {"decline": FRAUDULENT}),
        ("4000000000000341", ("pm_card_chargeCustomerFail",), {"decline": GENERIC}),
        ("4000000000003220", ("pm_card_threeDSecure2Required",), {"challenge": Challenge.ALWAYS}),
        ("4000000000003063", ("pm_card_threeDSecureRequired",), {"challenge": Challenge.ALWAYS}),
        (
            "4000008400001629",
            ("pm_card_threeDSecureRequiredChargeDeclined",),
            {"challenge": Challenge.ALWAYS, "decline": GENERIC},
        ),
        ("4000002760003184", ("pm_card_authenticationRequired",), {"challenge": Challenge.ALWAYS}),
        ("4000002500003155", ("pm_card_authenticationRequiredOnSetup",), {"challenge": Challenge.UNLESS_SET_UP}),
        (
            "4000008260003178",
            ("pm_card_authenticationRequiredChargeDeclinedInsufficientFunds",),
            {"challenge": Challenge.ALWAYS, "decline": INSUFFICIENT_FUNDS},
        ),
    )
}

CARDS_BY_NUMBER = {number: instrument for number, (_, instrument) in _CARD_TABLE.items()}


ROUTING_NUMBER = "110000000"


def _sepa(iban: str, decline: Decline | None = None) -> Instrument:
    return Instrument(
        type="sepa_debit", last4=iban[-4:], country=iban[:2], bank=iban[4:12], decline=decline, settles=True
    )


def _ach(number: str, decline: Decline | None = None) -> Instrument:
    return Instrument(type="us_bank_account", last4=number[-4:], bank=ROUTING_NUMBER, decline=decline, settles=True)


ACCOUNTS_BY_IBAN = {
    "AT611904300234573201": _sepa("AT611904300234573201"),
    "AT321904300235473204": _sepa("AT321904300235473204"),
    "AT861904300235473202": _sepa("AT861904300235473202", DEBIT_FAILED),
    "AT051904300235473205": _sepa("AT051904300235473205", DEBIT_FAILED),
    "DE89370400440532013000": _sepa("DE89370400440532013000"),
    "DE08370400440532013003": _sepa("DE08370400440532013003"),
    "DE62370400440532013001": _sepa("DE62370400440532013001", DEBIT_FAILED),
    "DE78370400440532013004": _sepa("DE78370400440532013004", DEBIT_FAILED),
}
ACCOUNTS_BY_NUMBER = {
    "000123456789": _ach("000123456789"),
    "000111111113": _ach("000111111113", ACCOUNT_CLOSED),
    "000222222227": _ach("000222222227", NO_FUNDS_IN_ACCOUNT),
}
REDIRECTING = {kind: Instrument(type=kind, last4="", redirects=True) for kind in ("amazon_pay", "ideal")}
"""By type. The buyer decides on the page if one of them pays, so there is one of each."""

INSTRUMENTS_BY_TOKEN = {token: instrument for tokens, instrument in _CARD_TABLE.values() for token in tokens} | {
    "pm_usBankAccount": ACCOUNTS_BY_NUMBER["000123456789"],
    "pm_usBankAccount_success": ACCOUNTS_BY_NUMBER["000123456789"],
    "pm_usBankAccount_accountClosed": ACCOUNTS_BY_NUMBER["000111111113"],
    "pm_usBankAccount_insufficientFunds": ACCOUNTS_BY_NUMBER["000222222227"],
}
"""Test tokens. Each use of one creates a new payment method."""


def passes_luhn(number: str) -> bool:
    """Return true if a card number's check digit is right."""
    digits = [int(digit) for digit in reversed(number)]
    doubled = [digit * 2 - 9 if digit > 4 else digit * 2 for digit in digits[1::2]]  # noqa: PLR2004 - the algorithm
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0
