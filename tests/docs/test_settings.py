"""Every setting is in its service's README, and nothing else is."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

KEYS = "k1:" + "A" * 42 + "8="

REQUIRED = {
    "payments_gateway": {
        "GATEWAY_CHECKOUT_SESSION_TARGET": "127.0.0.1:1",
        "GATEWAY_ORDERS_TARGET": "127.0.0.1:2",
        "GATEWAY_STRIPE_SECRET_KEY": "sk_test_1",
        "GATEWAY_STRIPE_PUBLISHABLE_KEY": "pk_test_1",
        "GATEWAY_STRIPE_WEBHOOK_SECRETS": "whsec_1",
        "GATEWAY_ATTEMPT_ID_SECRET": "s" * 32,
    },
    "checkout_session": {"CHECKOUT_SESSION_REDIS_URL": "redis://127.0.0.1:1", "CHECKOUT_SESSION_ENCRYPTION_KEYS": KEYS},
    "orders": {"ORDERS_DATABASE_URL": "postgresql://u:p@127.0.0.1:1/d", "ORDERS_ENCRYPTION_KEYS": KEYS},
}
PREFIXES = {"payments_gateway": "GATEWAY_", "checkout_session": "CHECKOUT_SESSION_", "orders": "ORDERS_"}


@pytest.mark.parametrize("service", sorted(REQUIRED))
def test_the_readme_names_exactly_the_settings(service: str) -> None:
    """`--print-settings` and the README's table list the same variables, and no secret is printed."""
    prefix, readme = PREFIXES[service], ROOT / "services" / service.replace("_", "-") / "README.md"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", ""), **REQUIRED[service]}

    printed = subprocess.run(
        [sys.executable, "-m", service, "--print-settings"], env=environment, capture_output=True, text=True, check=True
    )
    documented = set(re.findall(rf"`({prefix}[A-Z_]+)`", readme.read_text()))

    assert {prefix + name.upper() for name in json.loads(printed.stdout)} == documented
    assert not any(secret in printed.stdout for secret in ("sk_test_1", "whsec_1", "s" * 32, ":p@", KEYS))
