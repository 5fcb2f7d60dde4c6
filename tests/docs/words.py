"""Check that names and prose use the field's words: `python -m tests.docs.words`, or `make words`.

Finds words that docs/glossary.md replaced, and docstrings that begin with a question word.
"""

import argparse
import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent.parent
UNCHECKED: Final = (
    *("CHANGELOG.md", "docs/glossary.md", "tests/docs/words.py"),
    *("libs/protos/src/", "uv.lock", "deploy/tools/uv.lock", "frontend/package-lock.json", "LICENSE"),
)

OLD_WORDS: Final = {
    # word: what replaced it. A word matches as a part of snake_case and CamelCase names, in any case.
    "befall": "apply",
    "complaint": "OpenDispute",
    "copying": "StripeMirror",
    "courier": "WebhookSender",
    "crossfire": "concurrent requests",
    "deed": "Scenario",
    "enquiring": "RateLimited",
    "errand": "ScriptCall, OutgoingCall",
    "foresee": "preview",
    "gatekeeper": "AccessControl",
    "glance": "single-flight read, readiness check",
    "hindrance": "error",
    "knob": "control API",
    "leash": "parent_death",
    "ledger": "UnitOfWork",
    "mishap": "Fault",
    "news": "WebhookEvent",
    "objection": "violation, error",
    "patience": "Retrier",
    "patient": "low priority",
    "refuge": "postgres_install",
    "reseal": "reencrypt",
    "road": "ReportChannel, stripe client, call",
    "seal": "encrypt",
    "sealed": "encrypted",
    "sealing": "encryption",
    "seals": "encrypts",
    "seat": "install, slot",
    "sighting": "StripeSnapshot",
    "situation": "Environment",
    "spoil": "response_faults, corrupt",
    "spoiling": "response_faults",
    "spoilt": "corrupt",
    "talkative": "echoing",
    "tally": "ErasureCounts",
    "timetable": "Scheduler",
    "wares": "products",
    "weigh": "page size limit",
}

OLD_NAMES: Final = {
    # name as it is spelt: what replaced it.
    "_STRANGER": "CALLER_NOT_ALLOWED",
    "announce_purchase": "enqueue_event",
    "announce_quarantine": "enqueue_event",
    "answer_problems": "install_error_handlers",
    "answered_within": "deadline",
    "AttemptOfAnotherIntent": "IntentMismatch",
    "bad_luck": "subscription_failures",
    "BeginOrder": "BeginActivation",
    "BeginUnit": "UnitOfWorkFactory",
    "BodyGuard": "BodyLimitMiddleware",
    "BoundToAnother": "StripeSubscriptionMismatch",
    "BrowserReturn": "CompleteCheckout",
    "ChangeOnDisk": "WaitForDisk",
    "connect_anew": "reconnect",
    "CustomerAccounts": "StripeCustomersPort",
    "CustomerRegister": "CustomerRepository",
    "cut_page": "paginate",
    "DescribedApp": "OpenApiApp",
    "draw_order_number": "generate_order_number",
    "EveryConnectionWaits": "PoolExhausted",
    "first_payments": "open_payments",
    "FirstPayments": "OpenPayments",
    "GoneAtStripe": "NotFoundAtStripe",
    "HeadGuard": "the ingress's job",
    "heed_cancellation": "raise_if_cancelled",
    "holds_nobody": "erased_has_no_personal_data",
    "hostile_topologies": "topology_changes",
    "IdempotencyKeySpent": "IdempotencyKeyExhausted",
    "incomplete_payments": "open_payments",
    "IncompletePayments": "OpenPayments",
    "instead_of(": "replace_deleted",
    "IntentTerms": "IntentParams",
    "IssuerAway": "JwksUnavailable",
    "IssuerKeys": "JwksCache",
    "keep_decision": "keep_existing",
    "KeepsChanging": "ConflictRetriesExhausted",
    "kept_fresh": "refresh_in_background",
    "KNOWN_TO_EVERYBODY": "DEV_SECRET_MARKER",
    "leaves_machine": "is_remote_address",
    "let_pass": "wake_waiters",
    "made_for(": "find_existing",
    "may_hide_a_failure": "may_have_stored_failure",
    "MAY_YET_SUCCEED": "PENDING_STATUSES",
    "named_failures": "translate_errors",
    "NotSignedIn": "Unauthenticated",
    "objects_to": "require",
    "OfAttempt": "ByAttempt",
    "OfOrder": "ByOrder",
    "OfUser": "ByUser",
    "OrderBook": "OrdersPort",
    "AdjustmentOvertaken": "VersionConflict",
    "page_weights": "page_size_limits",
    "PaidWith": "PaymentRef",
    "place_order": "Order.from_payment",
    "PostgresUnits": "PostgresUnitOfWork",
    "price_book": "catalogue_cache",
    "PriceBook": "CatalogueCache",
    "ReadFromMaster": "RequirePrimary",
    "refuse_if_": "ensure_not_…",
    "RenewedChannel": "ReloadingChannel",
    "seen_to": "covered",
    "servicekit.wire": "servicekit.grpc_defaults",
    "set_aside": "quarantine",
    "sets_aside": "quarantines",
    "StatementRefused": "StatementRejected",
    "StateUnusable": "UnsupportedStripeObject",
    "stripe_says_no": "retry_forbidden",
    "SubscriptionBook": "SubscriptionsPort",
    "SubscriptionLife": "SubscriptionSync",
    "tell_email": "update_email",
    "tls_door": "tls_proxy",
    "TlsDoor": "TlsProxy",
    "TokenRules": "TokenValidation",
    "Trap.sprung": "Breakpoint.hit",
    "turned_away": "limiter_timeout",
    "TurnedAway": "LimiterTimeout",
    "turns.py": "keyed_lock.py",
    "VersionMismatch": "VersionConflict",
    "VersionMoved": "VersionConflict",
    "WHO_BOUGHT": "PERSONAL_COLUMNS",
    "with_time_enough": "without_deadline",
}
OLD_PATTERNS: Final = {
    # regular expression: what replaced it.
    r"\bset(?:s|ting)? aside\b": "quarantine",
    r"\bTurns?(?=[(\].,:])": "KeyedLock, slot",
    r"\bWorld\b": "State",
    r"\bExchange\b": "ApiRequest",
    r"\bScene\b": "the thing that it is",
    r"\bBooks\b": "OrdersDb",
    r"(?<![A-Za-z-])[Mm]asters?(?![a-z-])": "primary",
}
REDIS_OWN_WORDS: Final = re.compile(
    r"""["']master["']|role:master|mymaster|master_(for|host|port|link|repl|addr)|discover_master|is_master
    |master-addr|masterauth|masteruser|sentinel[ _-]master|SENTINEL.MASTER|b["']master|flags.*master|MasterDownError
    |ingress-type:.*master""",
    re.VERBOSE,
)
STREET: Final = re.compile(r" Road\b")

_ANY_WORD: Final = re.compile(rf"(?<![A-Za-z])({'|'.join(OLD_WORDS)})s?(?![a-z])", re.IGNORECASE)
_IN_CAMEL_CASE: Final = re.compile(rf"(?<=[a-z])({'|'.join(word.capitalize() for word in OLD_WORDS)})s?(?![a-z])")
_ANY_NAME: Final = re.compile("|".join(map(re.escape, OLD_NAMES)))
_PATTERNS: Final = [(re.compile(pattern), becomes) for pattern, becomes in OLD_PATTERNS.items()]
_TYPESCRIPT_COMMENT: Final = re.compile(r"/\*\*[\s*]*(.*)")
_RIDDLE: Final = re.compile(r"(what|who|whom|whose|whether|whoever|how|lets|tells|as if)\b", re.IGNORECASE)


def main() -> int:
    """Print each finding. Return 1 if there is any."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="*", help="only files below these; all of the repository's if none is given")
    arguments = parser.parse_args()
    findings = [finding for path in checked_files(arguments.paths) for finding in findings_in(path)]
    sys.stdout.writelines(f"{finding}\n" for finding in findings)
    return 1 if findings else 0


def checked_files(paths: list[str]) -> list[str]:
    """Return the repository's text files, as paths from its root."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", *paths]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [path for path in listed.stdout.split("\0") if path and not path.startswith(UNCHECKED)]


def findings_in(path: str) -> Iterator[str]:
    """Yield the findings in a file's name and text, one line each."""
    try:
        text = (ROOT / path).read_text()
    except (OSError, UnicodeDecodeError):
        return
    for number, line in enumerate([path, *text.splitlines()]):
        for old, becomes in old_words_in(line):
            yield f"{path}:{number}: {old!r} is now: {becomes}"
    riddles = riddles_in_python if path.endswith(".py") else riddles_in_typescript
    if path.endswith((".py", ".ts", ".tsx")):
        for number, first_line in riddles(text):
            yield f"{path}:{number}: begin a docstring with the thing or the verb: {first_line!r}"


def old_words_in(line: str) -> Iterator[tuple[str, str]]:
    """Yield each old word in a line with what replaced it."""
    for pattern in (_ANY_WORD, _IN_CAMEL_CASE):
        for found in pattern.finditer(line):
            if not STREET.match(line, max(0, found.start() - 1)):
                yield found[0], OLD_WORDS[found[1].lower()]
    for found in _ANY_NAME.finditer(line):
        yield found[0], OLD_NAMES[found[0]]
    for pattern, becomes in _PATTERNS:
        for found in pattern.finditer(line):
            if becomes != "primary" or not REDIS_OWN_WORDS.search(line):
                yield found[0], becomes


def riddles_in_python(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of each docstring, of attributes too, that begins with a question word."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Expr(value=ast.Constant(value=str(docstring))) if _RIDDLE.match(docstring):
                yield node.lineno, docstring.splitlines()[0]


def riddles_in_typescript(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of each documentation comment that begins with a question word."""
    for found in _TYPESCRIPT_COMMENT.finditer(source):
        if _RIDDLE.match(found[1]):
            yield source.count("\n", 0, found.start(1)) + 1, found[1]


if __name__ == "__main__":
    sys.exit(main())
