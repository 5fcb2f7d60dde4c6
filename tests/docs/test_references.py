"""Names in the documents are names in the project: links, files, tests, make targets, settings, metrics, events."""

import re
import subprocess
from pathlib import Path

import pytest

from checkout_session.settings import CheckoutSessionSettings
from orders.settings import OrdersSettings
from payments_gateway.settings.gateway import GatewaySettings
from payments_gateway.settings.reconciler import ReconcilerSettings
from servicekit.settings import ServiceSettings

ROOT = Path(__file__).parent.parent.parent
LIST_FILES = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
FILES = subprocess.run(LIST_FILES, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
DOCUMENTS = sorted(name for name in FILES if name.endswith(".md") and name != "CHANGELOG.md")
DECISIONS = sorted(name for name in DOCUMENTS if re.match(r"docs/adr/\d", name))
SERVICES: dict[str, type[ServiceSettings]] = {
    "checkout-session": CheckoutSessionSettings,
    "orders": OrdersSettings,
    "payments-gateway": GatewaySettings,
}
SETTINGS = {name: {service.variable(field) for field in service.model_fields} for name, service in SERVICES.items()}
SETTINGS["payments-gateway"] |= {ReconcilerSettings.variable(field) for field in ReconcilerSettings.model_fields}
SETTING = re.compile(r"`((?:CHECKOUT_SESSION|GATEWAY|ORDERS)_[A-Z_]*[A-Z])`")


def read(document: str) -> str:
    """Return a document's text."""
    return (ROOT / document).read_text()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_to_files(document: str) -> None:
    """Every relative link of a page points at an existing file."""
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", read(document))

    assert [link for link in links if not (ROOT / document).parent.joinpath(link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_named_files_and_tests_exist(document: str) -> None:
    """A file is named by the end of its path, a test as `file.py::test_name`."""
    missing = []
    for name, test in re.findall(r"`([\w./-]+\.(?:py|md|toml|lock|proto|lua))(?:::(\w+))?`", read(document)):
        found = [file for file in FILES if f"/{file}".endswith(f"/{name}")]
        if not any(not test or f"def {test}(" in read(file) for file in found):
            missing.append(f"{name}::{test}" if test else name)

    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_named_settings_exist(document: str) -> None:
    """A variable with a service's prefix is a setting of that service."""
    assert set(SETTING.findall(read(document))) - set().union(*SETTINGS.values()) == set()


@pytest.mark.parametrize("service", SETTINGS)
def test_the_readme_of_a_service_names_every_setting(service: str) -> None:
    """The table of settings is complete."""
    assert SETTINGS[service] - set(SETTING.findall(read(f"services/{service}/README.md"))) == set()


def test_named_metrics_exist() -> None:
    """A metric is named as Prometheus shows it; the code leaves out `_total`."""
    named = {name for document in DOCUMENTS for name in re.findall(r"`(holdfast_\w+)", read(document))}
    source = "".join(read(name) for name in FILES if name.startswith(("services/", "libs/")) and name.endswith(".py"))

    assert {name for name in named if f'"{name.removesuffix("_total")}"' not in source} == set()


def test_named_make_targets_exist() -> None:
    """`make -n` knows every target that a document names."""
    named = {
        name
        for document in DOCUMENTS
        for name in re.findall(r"(?:`|^)make ([a-z][a-z-]*)", read(document), re.MULTILINE)
    }

    assert set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE)) >= named


@pytest.mark.parametrize("document", DECISIONS)
def test_a_decision_has_status_date_and_a_line_in_the_index(document: str) -> None:
    """Its number is that of its file name."""
    title, status = re.match(r"# (\d+\. .+)\n\n- Status: (.+)\n- Date: \d{4}-\d\d-\d\d\n", read(document)).groups()  # type: ignore[union-attr]

    number, _, decision = title.partition(". ")
    assert Path(document).name.startswith(f"{int(number):04}-")
    assert f"| [{number}]({Path(document).name}) | {decision} |" in read("docs/adr/README.md")
    assert status == "accepted" or status.startswith("superseded by ADR ")
