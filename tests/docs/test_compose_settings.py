"""What docker-compose.yml hands to the services is what they can be told, and nothing of it takes real money."""

import re
from collections.abc import Mapping
from functools import partial
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
WITH_STRIPE = (ROOT / "docker-compose.stripe.yml").read_text()
EXAMPLE = (ROOT / ".env.example").read_text()
INTERPOLATED = re.compile(r"\$\{([A-Z_]+):([-?])([^}]*)\}")
EXAMPLE_LINES = re.compile(r"^#?([A-Z_]+)=(.*)$", flags=re.MULTILINE)
OF_COMPOSE = {"COMPOSE_FILE"}
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
    "COMPOSE_FILE": "docker-compose.yml:docker-compose.stripe.yml",
    "STRIPE_SECRET_KEY": "sk_live_1",
    "STRIPE_PUBLISHABLE_KEY": "pk_live_1",
    "STRIPE_WEBHOOK_SECRETS": "whsec_1",
    "REDIS_PASSWORD": "a" * 32,
    "POSTGRES_PASSWORD": "b" * 32,
    "CHECKOUT_SESSION_ENCRYPTION_KEYS": KEYS,
    "ORDERS_ENCRYPTION_KEYS": KEYS,
    "GATEWAY_ATTEMPT_ID_SECRET": "c" * 32,
}
NO_SECRETS = {"HOLDFAST_ENVIRONMENT", "HOLDFAST_ALLOW_PLAINTEXT"}
SECRETS = sorted(FILLED_IN.keys() - NO_SECRETS - OF_COMPOSE)
WITH_KEYS = ("COMPOSE_FILE", "STRIPE_SECRET_KEY", "STRIPE_PUBLISHABLE_KEY", "STRIPE_WEBHOOK_SECRETS")


class _Composed(yaml.SafeLoader):  # type: ignore[misc] # PyYAML ships no types
    """YAML as Compose writes it."""


_Composed.add_constructor("!reset", lambda _loader, _node: None)


def handed(service: str, told: Mapping[str, str]) -> dict[str, str]:
    """Return a service's environment as Compose makes it. Raises ValueError where it demands what it was not told."""
    files = [COMPOSED, WITH_STRIPE] if "COMPOSE_FILE" in told else [COMPOSED]
    environment: dict[str, Any] = {}
    for file in files:
        described = yaml.load(INTERPOLATED.sub(partial(_filled, told), file), Loader=_Composed)  # noqa: S506 - a safe one
        environment |= (described["services"].get(service) or {}).get("environment", {})
    return {name: "" if value is None else str(value) for name, value in environment.items()}


def _filled(told: Mapping[str, str], found: re.Match[str]) -> str:
    name, operator, word = found.groups()
    if operator == "?" and not told.get(name):
        raise ValueError(f"{name} {word}")
    return told.get(name) or word


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
    """Every variable of both files is in .env.example, and nothing else but what Compose itself reads."""
    named = [name for name, _ in EXAMPLE_LINES.findall(EXAMPLE)]

    interpolated = INTERPOLATED.findall(COMPOSED + WITH_STRIPE)
    assert sorted(named) == sorted({found[0] for found in interpolated} | OF_COMPOSE)
    assert len(interpolated) == len(re.findall(r"(?<!\$)\$\{", COMPOSED + WITH_STRIPE))


def test_the_example_fills_in_nothing() -> None:
    """A copy of it is as good as none; Compose takes no blank COMPOSE_FILE, so that one is commented out."""
    filled_in = {name for name, value in EXAMPLE_LINES.findall(EXAMPLE) if value}

    assert filled_in == OF_COMPOSE
    assert not re.search(r"^COMPOSE_FILE", EXAMPLE, flags=re.MULTILINE)


@pytest.mark.parametrize("service", sorted(SETTINGS))
def test_without_a_word_everything_starts_in_development(monkeypatch: pytest.MonkeyPatch, service: str) -> None:
    """`docker compose up` alone is for trying out."""
    assert read(monkeypatch, service, {}).in_development


def test_in_production_there_is_no_simulator(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever forgets the second file gets no shop that is paid with made-up money."""
    told = {name: value for name, value in FILLED_IN.items() if name != "COMPOSE_FILE"}

    with pytest.raises(ValueError, match="GATEWAY_STRIPE_SECRET_KEY, GATEWAY_STRIPE_WEBHOOK_SECRETS: everybody knows"):
        read(monkeypatch, "payments-gateway", told)


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
    assert all("everybody knows it" in refusal or f"{forgotten} is required" in refusal for refusal in refusals)


def test_a_live_key_does_not_start_with_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever puts a live key in and nothing else is told so, instead of taking money with known secrets."""
    with pytest.raises(ValueError, match="a live key does not start in development"):
        read(monkeypatch, "payments-gateway", {name: FILLED_IN[name] for name in WITH_KEYS})


def _named_under(mark: str) -> list[str]:
    """Return the variables that follow a line of comment with the mark, up to the next comment."""
    named: list[str] = []
    marked = False
    for line in EXAMPLE.splitlines():
        found = EXAMPLE_LINES.match(line)
        if found and marked:
            named.append(found[1])
        elif not found:
            marked = mark in line
    return named
