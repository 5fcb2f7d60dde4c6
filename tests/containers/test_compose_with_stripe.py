"""docker-compose.stripe.yml: the system without the simulator."""

import re
import secrets
from base64 import b64encode
from collections.abc import Iterator

import pytest

from devstack import json_http
from tests.containers.compose_project import ROOT, ComposeProject, docker
from tests.containers.test_images import IMAGES, TAG

pytestmark = [pytest.mark.containers, pytest.mark.timeout(300)]

PRODUCTS = 8
SETTINGS = {
    "COMPOSE_FILE": "docker-compose.yml:docker-compose.stripe.yml",
    "STRIPE_API_BASE": "http://stripe.test:12111",
    "STRIPE_SECRET_KEY": "sk_test_elsewhere",
    "STRIPE_PUBLISHABLE_KEY": "pk_test_elsewhere",
    "STRIPE_WEBHOOK_SECRETS": "whsec_elsewhere",
    "HOLDFAST_ENVIRONMENT": "production",
    "HOLDFAST_ALLOW_PLAINTEXT": "true",
    "REDIS_PASSWORD": secrets.token_hex(16),
    "POSTGRES_PASSWORD": secrets.token_hex(16),
    "CHECKOUT_SESSION_ENCRYPTION_KEYS": f"k1:{b64encode(secrets.token_bytes(32)).decode()}",
    "ORDERS_ENCRYPTION_KEYS": f"k1:{b64encode(secrets.token_bytes(32)).decode()}",
    "GATEWAY_ATTEMPT_ID_SECRETS": secrets.token_hex(16),
}


@pytest.fixture
def project() -> Iterator[ComposeProject]:
    """Create the project, and run a simulator in Stripe's place that is no service of the project."""
    with ComposeProject(SETTINGS) as made:
        made.compose("create", "--no-build")
        stripe = docker(
            *("run", "--detach", "--rm", f"--network={made.name}_edge", "--network-alias=stripe.test"),
            *(f"holdfast/stripe-simulator:{TAG}", "stripe-simulator", "--listen=0.0.0.0:12111", "--sample-shop"),
            "--secret-key=sk_test_elsewhere",
        ).strip()
        try:
            yield made
        finally:
            docker("rm", "--force", stripe)


def test_another_stripe_takes_the_simulators_place(project: ComposeProject) -> None:
    """With the required settings of .env.example, the system starts in production and sells that Stripe's products."""
    project.up()

    shop = json_http.send("GET", f"{project.gateway}/api/catalog")
    assert len(shop.body["items"]) == PRODUCTS
    assert "stripe-simulator" not in project.compose("ps", "--all", "--services")
    assert project.inspect("payments-gateway")["State"]["Health"]["Status"] == "healthy"


def test_the_webhook_endpoint_is_created_before_anything_runs(project: ComposeProject) -> None:
    """As docs/deployment.md says; standard output has the signing secret alone, and a check then finds nothing."""
    project.settings["STRIPE_WEBHOOK_SECRETS"] = "none"
    ensure = (
        *("run", "--rm", "--no-deps", "--no-TTY", "payments-gateway", "payments-gateway", "webhook-endpoint", "ensure"),
        "--url=https://shop.example/api/stripe/webhook",
    )

    printed = project.compose(*ensure)
    checked = project.compose(*ensure, "--check")

    assert re.fullmatch(r"whsec_\w+\n", printed)
    assert checked == ""


def test_a_live_key_does_not_start() -> None:
    """The error names the setting that a live key needs as well."""
    settings = {**SETTINGS, "STRIPE_SECRET_KEY": "sk_live_1", "HOLDFAST_ENVIRONMENT": ""}
    with ComposeProject(settings) as project, pytest.raises(AssertionError, match="live key"):
        project.compose("run", "--rm", "--no-deps", "payments-gateway")


def test_a_copy_of_the_example_is_as_good_as_no_env_file() -> None:
    """Its defaults are those of the Compose file."""
    without_file, with_example = (
        docker("compose", f"--project-directory={ROOT}", f"--env-file={file}", "config")
        for file in ("/dev/null", ROOT / ".env.example")
    )

    assert with_example == without_file


def test_compose_builds_the_images_that_are_missing() -> None:
    """`docker compose up` needs no earlier command."""
    with ComposeProject() as project:
        project.settings["HOLDFAST_IMAGE_TAG"] = project.name
        names = [f"holdfast/{image}:{project.name}" for image in IMAGES]
        try:
            project.compose("build", "--quiet")
            docker("image", "inspect", *names)
        finally:
            docker("image", "rm", "--force", *names)
