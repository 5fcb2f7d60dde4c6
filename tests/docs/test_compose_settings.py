"""What docker-compose.yml hands to the services is what they can be told, and nothing of it takes real money."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped] # PyYAML ships no types

from checkout_session.settings import CheckoutSessionSettings
from orders.settings import OrdersSettings
from payments_gateway.settings import GatewaySettings
from servicekit.settings import ServiceSettings

ROOT = Path(__file__).parent.parent.parent
COMPOSED = (ROOT / "docker-compose.yml").read_text()
EXAMPLE = (ROOT / ".env.example").read_text()
INTERPOLATED = re.compile(r"\$\{([A-Z_]+):-([^}]*)\}")
SETTINGS: dict[str, type[ServiceSettings]] = {
    "checkout-session": CheckoutSessionSettings,
    "orders": OrdersSettings,
    "orders-migrate": OrdersSettings,
    "payments-gateway": GatewaySettings,
}
KEYS = "k1:" + "A" * 42 + "8="
FILLED_IN = {
    "HOLDFAST_ENVIRONMENT": "production",
    "HOLDFAST_ALLOW_PLAINTEXT": "true",
    "STRIPE_API_BASE": "https://api.stripe.com",
    "STRIPE_SECRET_KEY": "sk_live_1",
    "STRIPE_PUBLISHABLE_KEY": "pk_live_1",
    "STRIPE_WEBHOOK_SECRETS": "whsec_1",
    "REDIS_PASSWORD": "a" * 32,
    "POSTGRES_PASSWORD": "b" * 32,
    "CHECKOUT_SESSION_ENCRYPTION_KEYS": KEYS,
    "ORDERS_ENCRYPTION_KEYS": KEYS,
    "GATEWAY_ATTEMPT_ID_SECRET": "c" * 32,
}
NO_SECRETS = {"HOLDFAST_ENVIRONMENT", "HOLDFAST_ALLOW_PLAINTEXT", "STRIPE_API_BASE", "STRIPE_PUBLISHABLE_KEY"}
SECRETS = sorted(FILLED_IN.keys() - NO_SECRETS)


def handed(service: str, told: Mapping[str, str]) -> dict[str, str]:
    """Return a service's environment as Compose makes it."""
    text = INTERPOLATED.sub(lambda found: told.get(found[1]) or found[2], COMPOSED)
    environment: dict[str, Any] = yaml.safe_load(text)["services"][service]["environment"]
    return {name: "" if value is None else str(value) for name, value in environment.items()}


def read(monkeypatch: pytest.MonkeyPatch, service: str, told: Mapping[str, str]) -> ServiceSettings:
    """Read a service's settings from what Compose hands to it. Raises ValueError where they are refused."""
    for name, value in handed(service, told).items():
        monkeypatch.setenv(name, {"True": "true", "False": "false"}.get(value, value))
    return SETTINGS[service]()


@pytest.mark.parametrize("service", sorted(SETTINGS))
def test_every_variable_is_a_setting_and_every_required_setting_is_handed(service: str) -> None:
    """A misspelt variable would be ignored by the service, without a word."""
    known = SETTINGS[service].model_fields

    given = handed(service, {})

    assert given.keys() - {SETTINGS[service].variable(field) for field in known} == set()
    required = {SETTINGS[service].variable(name) for name, field in known.items() if field.is_required()}
    assert required - {name for name, value in given.items() if value} == set()


def test_the_example_names_exactly_what_can_be_told() -> None:
    """Every variable of docker-compose.yml is in .env.example, and nothing else."""
    named = re.findall(r"^([A-Z_]+)=", EXAMPLE, flags=re.MULTILINE)

    assert sorted(named) == sorted({found[0] for found in INTERPOLATED.findall(COMPOSED)})
    assert len(INTERPOLATED.findall(COMPOSED)) == len(re.findall(r"(?<!\$)\$\{", COMPOSED))


@pytest.mark.parametrize("service", sorted(SETTINGS))
def test_without_a_word_everything_starts_in_development(monkeypatch: pytest.MonkeyPatch, service: str) -> None:
    """`docker compose up` alone is for trying out."""
    assert read(monkeypatch, service, {}).in_development


@pytest.mark.parametrize("service", sorted(SETTINGS))
def test_filled_in_it_starts_in_production(monkeypatch: pytest.MonkeyPatch, service: str) -> None:
    """With what .env.example marks, and nothing else."""
    marked = {name for name in FILLED_IN if name != "HOLDFAST_ENVIRONMENT"}

    assert not read(monkeypatch, service, FILLED_IN).in_development
    assert marked - set(_named_under("(P)")) == set()


@pytest.mark.parametrize("forgotten", SECRETS)
def test_in_production_no_secret_can_be_forgotten(monkeypatch: pytest.MonkeyPatch, forgotten: str) -> None:
    """Its default is known to everybody, so somebody does not start, and says why."""
    told = {name: value for name, value in FILLED_IN.items() if name != forgotten}
    refusals = []
    for service in SETTINGS:
        try:
            read(monkeypatch, service, told)
        except ValueError as refusal:
            refusals.append(str(refusal))

    assert refusals
    assert all("everybody knows it" in refusal for refusal in refusals)


def test_a_live_key_does_not_start_with_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever puts a live key in and nothing else is told so, instead of taking money with known secrets."""
    with pytest.raises(ValueError, match="a live key does not start in development"):
        read(monkeypatch, "payments-gateway", {"STRIPE_SECRET_KEY": "sk_live_1"})


def _named_under(mark: str) -> list[str]:
    """Return the variables that follow a line of comment with the mark, up to the next comment."""
    named: list[str] = []
    marked = False
    for line in EXAMPLE.splitlines():
        if line.startswith("#"):
            marked = mark in line
        elif marked and "=" in line:
            named.append(line.partition("=")[0])
    return named
