"""Currencies, and the amounts that Stripe accepts in each.

From https://docs.stripe.com/currencies: zero-decimal and three-decimal currencies, and minimum charge amounts.
"""

from stripe_simulator.api_errors import ApiError, invalid

ZERO_DECIMAL = frozenset(
    ["bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "ugx", "vnd", "vuv", "xaf", "xof", "xpf"]
)
THREE_DECIMAL = frozenset(["bhd", "jod", "kwd", "omr", "tnd"])
_TWO_DECIMAL = frozenset((
    "aed", "afn", "all", "amd", "ang", "aoa", "ars", "aud", "awg", "azn", "bam", "bbd", "bdt", "bgn", "bmd", "bnd",
    "bob", "brl", "bsd", "bwp", "byn", "bzd", "cad", "cdf", "chf", "cny", "cop", "crc", "cve", "czk", "dkk", "dop",
    "dzd", "egp", "etb", "eur", "fjd", "fkp", "gbp", "gel", "gip", "gmd", "gtq", "gyd", "hkd", "hnl", "htg", "huf",
    "idr", "ils", "inr", "isk", "jmd", "kes", "kgs", "khr", "kyd", "kzt", "lak", "lbp", "lkr", "lrd", "lsl", "mad",
    "mdl", "mkd", "mmk", "mnt", "mop", "mur", "mvr", "mwk", "mxn", "myr", "mzn", "nad", "ngn", "nio", "nok", "npr",
    "nzd", "pab", "pen", "pgk", "php", "pkr", "pln", "qar", "ron", "rsd", "rub", "sar", "sbd", "scr", "sek", "sgd",
    "shp", "sle", "sos", "srd", "std", "szl", "thb", "tjs", "top", "try", "ttd", "twd", "tzs", "uah", "usd", "uyu",
    "uzs", "wst", "xcd", "yer", "zar", "zmw",
))  # fmt: skip
CURRENCIES = ZERO_DECIMAL | THREE_DECIMAL | _TWO_DECIMAL

# In minor units. The last two lines are not in Stripe's table: Stripe converts their minimum at the rate of the day,
# and the simulator has fixed round amounts.
MINIMUM_AMOUNTS = {
    "usd": 50, "aed": 200, "aud": 50, "bgn": 100, "brl": 50, "cad": 50, "chf": 50, "czk": 1500, "dkk": 250,
    "eur": 50, "gbp": 30, "hkd": 400, "huf": 17500, "inr": 50, "jpy": 50, "mxn": 1000, "myr": 200, "nok": 300,
    "nzd": 50, "pln": 200, "ron": 200, "sek": 300, "sgd": 50, "thb": 1000,
    "bhd": 190, "jod": 360, "kwd": 160, "omr": 200, "tnd": 1600, "krw": 700, "clp": 500, "vnd": 13000, "twd": 1600,
    "php": 3000, "zar": 1000, "try": 2000, "ils": 200, "sar": 200, "cop": 220000, "idr": 800000,
}  # fmt: skip
_MINIMUM_ELSEWHERE = 1
MAXIMUM_AMOUNT = 99_999_999
_THREE_DECIMAL_STEP = 10


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
    if amount > MAXIMUM_AMOUNT:
        raise _out_of_bounds(
            "amount_too_large", f"Amount must be no more than {format_amount(MAXIMUM_AMOUNT, currency)}"
        )
    if currency in THREE_DECIMAL and amount % _THREE_DECIMAL_STEP:
        raise invalid(
            f"Invalid amount: {amount}. Amounts in {currency} must be a multiple of {_THREE_DECIMAL_STEP}.",
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
