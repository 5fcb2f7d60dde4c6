"""docker-compose.yml and .env.example match the services' settings, and refuse real money with sample secrets."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped] # PyYAML ships no types

from checkout_session.settings import CheckoutSessionSettings
from orders.settings import OrdersSettings
from payments_gateway.settings.gateway import GatewaySettings
from servicekit.settings import ServiceSettings
from tests.settings_of_services import KEYS, SETTINGS

ROOT = Path(__file__).parent.parent.parent
COMPOSE = (ROOT / "docker-compose.yml").read_text()
COMPOSE_STRIPE = (ROOT / "docker-compose.stripe.yml").read_text()
EXAMPLES = {path.stem: path.read_text() for path in (ROOT / "deploy" / "examples").glob("*.yml")}
EXAMPLE = (ROOT / ".env.example").read_text()
INTERPOLATION = re.compile(r"\$\{([A-Z_]+):([-?])([^}]*)\}")
ASSIGNMENT = re.compile(r"^#?([A-Z_]+)=(.*)$", flags=re.MULTILINE)
SECRETS = {
    "STRIPE_SECRET_KEY": "sk_live_1",
    "STRIPE_PUBLISHABLE_KEY": "pk_live_1",
    "STRIPE_WEBHOOK_SECRETS": "whsec_1",
    "REDIS_PASSWORD": "a" * 32,
    "POSTGRES_PASSWORD": "b" * 32,
    "CHECKOUT_SESSION_ENCRYPTION_KEYS": KEYS,
    "ORDERS_ENCRYPTION_KEYS": KEYS,
    "GATEWAY_ATTEMPT_ID_SECRETS": "c" * 32,
}
PRODUCTION = {
    "HOLDFAST_ENVIRONMENT": "production",
    "HOLDFAST_ALLOW_PLAINTEXT": "true",
    "COMPOSE_FILE": "docker-compose.yml:docker-compose.stripe.yml",
    **SECRETS,
}


class _ComposeLoader(yaml.SafeLoader):  # type: ignore[misc] # PyYAML ships no types
    """YAML with Compose's own tags."""


for tag in ("!reset", "!override"):
    _ComposeLoader.add_constructor(tag, lambda _loader, _node: None)


def environment_of(service: str, env: Mapping[str, str]) -> dict[str, str]:
    """Return a service's environment as Compose interpolates it. Raises ValueError for a missing required variable."""

    def interpolate(found: re.Match[str]) -> str:
        name, operator, word = found.groups()
        if operator == "?" and not env.get(name):
            raise ValueError(f"{name} {word}")
        return env.get(name) or word

    environment: dict[str, Any] = {}
    for file in [COMPOSE, COMPOSE_STRIPE] if "COMPOSE_FILE" in env else [COMPOSE]:
        config = yaml.load(INTERPOLATION.sub(interpolate, file), Loader=_ComposeLoader)  # noqa: S506 - a safe loader
        environment |= (config["services"].get(service) or {}).get("environment", {})
    return {name: "" if value is None else str(value) for name, value in environment.items()}


def read_settings(monkeypatch: pytest.MonkeyPatch, service: str, env: Mapping[str, str]) -> ServiceSettings:
    """Read a service's settings from its environment in Compose. Raises ValueError if they are refused."""
    for name, value in environment_of(service, env).items():
        monkeypatch.setenv(name, {"True": "true", "False": "false"}.get(value, value))
    return SETTINGS[service]()


@pytest.mark.parametrize("service", sorted(SETTINGS))
def test_variables_are_settings_and_required_settings_are_set(service: str) -> None:
    """A service would silently ignore a misspelt variable."""
    fields = SETTINGS[service].model_fields

    environment = environment_of(service, {})

    assert environment.keys() - {SETTINGS[service].variable(name) for name in fields} == set()
    required = {SETTINGS[service].variable(name) for name, field in fields.items() if field.is_required()}
    assert required - {name for name, value in environment.items() if value} == set()


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_an_example_sets_settings(name: str) -> None:
    """Of the service that it sets them for."""
    services = yaml.load(EXAMPLES[name], Loader=_ComposeLoader)["services"]  # noqa: S506 - a safe loader
    for service, settings in SETTINGS.items():
        variables = services.get(service, {}).get("environment", {}).keys()

        assert variables - {settings.variable(field) for field in settings.model_fields} == set()


def test_the_example_has_every_variable_and_no_value() -> None:
    """A blank COMPOSE_FILE would be refused by Compose, so that line is a comment with its value."""
    assignments = dict(ASSIGNMENT.findall(EXAMPLE))
    every_file = "".join([COMPOSE, COMPOSE_STRIPE, *EXAMPLES.values()])

    assert assignments.keys() == {found[0] for found in INTERPOLATION.findall(every_file)} | {"COMPOSE_FILE"}
    assert {name for name, value in assignments.items() if value} == {"COMPOSE_FILE"}


def test_the_example_marks_what_production_requires() -> None:
    """A comment with (P) applies to the variables that follow it."""
    marked = [
        name
        for comment, block in re.findall(r"^(# .*)\n((?:#?[A-Z_]+=.*\n)+)", EXAMPLE, flags=re.MULTILINE)
        if "(P)" in comment
        for name, _ in ASSIGNMENT.findall(block)
    ]

    assert PRODUCTION.keys() - {"HOLDFAST_ENVIRONMENT"} - set(marked) == set()


@pytest.mark.parametrize("service", sorted(SETTINGS))
def test_it_starts_in_development_by_default_and_in_production_when_filled_in(
    monkeypatch: pytest.MonkeyPatch, service: str
) -> None:
    """`docker compose up` alone is for trying out."""
    assert read_settings(monkeypatch, service, {}).in_development
    assert not read_settings(monkeypatch, service, PRODUCTION).in_development


def test_only_the_simulators_shop_signs_demo_customers_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """With Stripe itself, Stripe.js comes from Stripe and every token from the shop's own sign-in."""
    stripe = {**PRODUCTION, "HOLDFAST_ENVIRONMENT": "development", "STRIPE_SECRET_KEY": "sk_test_1"}

    simulated = read_settings(monkeypatch, "payments-gateway", {})
    real = read_settings(monkeypatch, "payments-gateway", stripe)

    assert isinstance(simulated, GatewaySettings)
    assert isinstance(real, GatewaySettings)
    assert (simulated.demo_sign_in, simulated.stripe_js_url) == (True, "http://127.0.0.1:12111/stripe.js")
    assert (real.demo_sign_in, real.jwt_secret) == (False, None)
    assert real.stripe_js_url.startswith("https://js.stripe.com/")


def test_the_drain_outlasts_every_deadline_and_the_grace_period_the_drain() -> None:
    """A request in flight at SIGTERM ends by itself, and the process ends before it is killed."""
    gateway, *others = (
        _defaults_of(settings) for settings in (GatewaySettings, CheckoutSessionSettings, OrdersSettings)
    )
    config = yaml.load(COMPOSE, Loader=_ComposeLoader)  # noqa: S506 - a safe loader
    grace = {name: config["services"][name]["stop_grace_period"] for name in SETTINGS}

    assert gateway["drain_seconds"] > gateway["request_deadline_seconds"]
    assert all(each["drain_seconds"] > gateway["service_timeout_seconds"] for each in others)
    assert min(int(period.removesuffix("s")) for period in grace.values()) > gateway["drain_seconds"] + 5


def _defaults_of(settings: type[ServiceSettings]) -> dict[str, Any]:
    return {name: field.default for name, field in settings.model_fields.items()}


@pytest.mark.parametrize("missing", [*sorted(SECRETS), "COMPOSE_FILE"])
def test_production_refuses_sample_secrets_and_the_simulator(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """A forgotten variable leaves a sample secret, and a service refuses it by name (ADR 19)."""
    env = {name: value for name, value in PRODUCTION.items() if name != missing}
    refusals = []
    for service in SETTINGS:
        try:
            read_settings(monkeypatch, service, env)
        except ValueError as refusal:
            refusals.append(str(refusal))

    assert refusals
    assert all("not-for-production" in refusal or f"{missing} is required" in refusal for refusal in refusals)


def test_a_live_key_is_refused_in_development(monkeypatch: pytest.MonkeyPatch) -> None:
    """A live key alone must not take money with sample secrets."""
    live = {name: PRODUCTION[name] for name in PRODUCTION if name == "COMPOSE_FILE" or name.startswith("STRIPE_")}

    with pytest.raises(ValueError, match="live key"):
        read_settings(monkeypatch, "payments-gateway", live)
