"""Currencies, and the amounts that Stripe accepts in each.

From https://docs.stripe.com/currencies: decimals, the special cases of ISK and UGX, and minimum and maximum charges.
"""

from stripe_simulator.api_errors import ApiError, invalid

# Without UGX, which the page lists here too: its special case, two decimals that are always 00, is what the API takes.
ZERO_DECIMAL = frozenset(
    ["bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"]
)
THREE_DECIMAL = frozenset(["bhd", "jod", "kwd", "omr", "tnd"])
_TWO_DECIMAL = frozenset((
    "aed", "afn", "all", "amd", "ang", "aoa", "ars", "aud", "awg", "azn", "bam", "bbd", "bdt", "bgn", "bmd", "bnd",
    "bob", "brl", "bsd", "bwp", "byn", "bzd", "cad", "cdf", "chf", "cny", "cop", "crc", "cve", "czk", "dkk", "dop",
    "dzd", "egp", "etb", "eur", "fjd", "fkp", "gbp", "gel", "gip", "gmd", "gtq", "gyd", "hkd", "hnl", "htg", "huf",
    "idr", "ils", "inr", "isk", "jmd", "kes", "kgs", "khr", "kyd", "kzt", "lak", "lbp", "lkr", "lrd", "lsl", "mad",
    "mdl", "mkd", "mmk", "mnt", "mop", "mur", "mvr", "mwk", "mxn", "myr", "mzn", "nad", "ngn", "nio", "nok", "npr",
    "nzd", "pab", "pen", "pgk", "php", "pkr", "pln", "qar", "ron", "rsd", "rub", "sar", "sbd", "scr", "sek", "sgd",
    "shp", "sle", "sos", "srd", "std", "szl", "thb", "tjs", "top", "try", "ttd", "twd", "tzs", "uah", "ugx", "usd",
    "uyu", "uzs", "wst", "xcd", "yer", "zar", "zmw",
))  # fmt: skip
CURRENCIES = ZERO_DECIMAL | THREE_DECIMAL | _TWO_DECIMAL

# In minor units. The last line is not in Stripe's table: Stripe converts the minimum of the account's own currency at
# the rate of the day, and the simulator has fixed round amounts.
MINIMUM_AMOUNTS = {
    "usd": 50, "aed": 200, "ars": 50, "aud": 50, "bgn": 100, "brl": 50, "cad": 50, "chf": 50, "cop": 50, "czk": 1500,
    "dkk": 250, "eur": 50, "gbp": 30, "hkd": 400, "huf": 17500, "idr": 50, "ils": 50, "inr": 50, "jpy": 50, "krw": 50,
    "mxn": 1000, "myr": 200, "nok": 300, "nzd": 50, "php": 50, "pln": 200, "ron": 200, "rub": 50, "sek": 300, "sgd": 50,
    "thb": 1000, "zar": 50,
    "bhd": 190, "jod": 360, "kwd": 160, "omr": 200, "tnd": 1600, "clp": 500, "vnd": 13000, "twd": 1600, "try": 2000,
    "sar": 200,
}  # fmt: skip
_MINIMUM_ELSEWHERE = 1
# Of any payment method, or of cards where the page names the currency. The API reference says eight digits for all.
_MAXIMUM_DIGITS = {"idr": 12, "lbp": 11, "cop": 10, "huf": 10, "jpy": 10, "inr": 9}
_MAXIMUM_DIGITS_ELSEWHERE = 8
_WHOLE_UNITS_ONLY = frozenset(["isk", "ugx"])


def maximum_amount(currency: str) -> int:
    """Return the largest amount that Stripe takes in a currency."""
    return int("9" * _MAXIMUM_DIGITS.get(currency, _MAXIMUM_DIGITS_ELSEWHERE))


def _step(currency: str) -> int:
    return 10 if currency in THREE_DECIMAL else 100 if currency in _WHOLE_UNITS_ONLY else 1


def check_currency(currency: str, param: str = "currency") -> str:
    """Return the currency in lower case. Refuses an unknown one."""
    lowered = currency.lower()
    if lowered not in CURRENCIES:
        listed = ", ".join(sorted(CURRENCIES))
        raise invalid(f"Invalid currency: {lowered}. Stripe currently supports these currencies: {listed}", param=param)
    return lowered


def check_charge_amount(amount: int, currency: str) -> None:
    """Refuse an amount that Stripe does not charge."""
    if amount < 1:
        raise invalid(
            "This value must be greater than or equal to 1.", param="amount", code="parameter_invalid_integer"
        )
    minimum = MINIMUM_AMOUNTS.get(currency, _MINIMUM_ELSEWHERE)
    if amount < minimum:
        raise _out_of_bounds("amount_too_small", f"Amount must be at least {format_amount(minimum, currency)}")
    maximum = maximum_amount(currency)
    if amount > maximum:
        raise _out_of_bounds("amount_too_large", f"Amount must be no more than {format_amount(maximum, currency)}")
    check_step(amount, currency)


def check_step(amount: int, currency: str) -> None:
    """Refuse an amount between the steps of its currency, of a charge or a refund."""
    step = _step(currency)
    if amount % step:
        raise invalid(
            f"Invalid amount: {amount}. Amounts in {currency} must be a multiple of {step}.",
            param="amount",
            code="parameter_invalid_integer",
        )


def _out_of_bounds(code: str, message: str) -> ApiError:
    return invalid(message, param="amount", code=code)


def format_amount(amount: int, currency: str) -> str:
    """Format an amount as in Stripe's messages, without floating point."""
    decimals = 0 if currency in ZERO_DECIMAL else 3 if currency in THREE_DECIMAL else 2
    if not decimals:
        return f"{amount} {currency}"
    whole, part = divmod(amount, 10**decimals)
    sign = "$" if currency == "usd" else ""
    return f"{sign}{whole:,}.{part:0{decimals}d} {currency}"
