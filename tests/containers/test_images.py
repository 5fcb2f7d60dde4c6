"""An image holds its own service, what that needs, and nothing to build with; it runs as nobody in particular."""

import json
import os
import re
from pathlib import Path
from typing import Any, Final

import pytest

from tests.containers.compose_project import docker
from tests.containers.locked import locked_distributions

pytestmark = [pytest.mark.containers, pytest.mark.timeout(300)]

ROOT: Final = Path(__file__).parent.parent.parent
BASE: Final = "python:3.13-slim"
TAG: Final = os.environ.get("HOLDFAST_IMAGE_TAG") or "dev"
IMAGES: Final = ("checkout-session", "orders", "payments-gateway", "stripe-simulator")
FOREIGN: Final = {
    "checkout-session": {"alembic", "asyncpg", "fastapi", "sqlalchemy", "stripe"},
    "orders": {"fastapi", "redis", "stripe"},
    "payments-gateway": {"alembic", "asyncpg", "redis", "sqlalchemy"},
    "stripe-simulator": {"asyncpg", "grpcio", "redis", "sqlalchemy"},
}
BUILD_TOOLS: Final = ("cc", "gcc", "g++", "make", "npm", "node", "uv", "uvx", "curl", "git")
SIZES: Final = re.compile(r"^\| `holdfast/([a-z-]+)` \| (\d+) MB \|", flags=re.MULTILINE)
_ONE_MB: Final = 1_000_000
_LIST: Final = """
import json
from importlib.metadata import distributions
print(json.dumps({each.name.lower().replace("_", "-").replace(".", "-"): each.version for each in distributions()}))
"""
_COMPILED: Final = """
import pathlib, sys
compiled = {path.name.partition(".")[0] for path in pathlib.Path("/opt/holdfast").rglob("*.cpython-313.pyc")}
sources = {path.stem for path in pathlib.Path("/opt/holdfast").rglob("site-packages/**/*.py")}
print("%d.%d" % sys.version_info[:2], sources <= compiled)
"""


def run(image: str, *command: str, **options: str) -> str:
    """Run a command in a fresh container of an image, as it is deployed, and return what it prints."""
    told = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    sealed = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--network=none")
    return docker("run", "--rm", *sealed, *told, f"holdfast/{image}:{TAG}", *command)


def config_of(image: str) -> Any:
    """Return what an image says of itself."""
    return json.loads(docker("image", "inspect", f"holdfast/{image}:{TAG}"))[0]["Config"]


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_holds_exactly_what_the_lock_gives_its_service(image: str) -> None:
    """No distribution of another service, and none that only developers need."""
    installed = json.loads(run(image, "python", "-c", _LIST))

    assert installed == locked_distributions(f"holdfast-{image}")
    assert FOREIGN[image].isdisjoint(installed)


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_has_nothing_to_build_with(image: str) -> None:
    """No compiler, no package manager of ours, nothing to download with."""
    script = f"for tool in {' '.join(BUILD_TOOLS)}; do command -v $tool; done; true"

    assert run(image, "sh", "-c", script) == ""


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_runs_as_a_user_without_a_name(image: str) -> None:
    """By number, so that an orchestrator can see that it is not root; and nothing of it belongs to that user."""
    user = config_of(image)["User"]

    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)
    assert run(image, "id", "-u").strip() == user.partition(":")[0]
    assert run(image, "find", "/opt/holdfast", "-writable", "!", "-type", "l") == ""


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_says_what_it_is_and_starts_without_a_shell(image: str) -> None:
    """Labels of the Open Container Initiative, a command that gets signals itself, and a health check."""
    config = config_of(image)

    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in config["Labels"].items()}
    assert labels["title"] == image
    assert labels.keys() >= {"description", "version", "revision"}
    assert config["Cmd"][0] == image
    assert config["Healthcheck"]["Test"][:2] == ["CMD", "python"]


@pytest.mark.parametrize("image", IMAGES)
def test_inside_is_python_3_13_compiled_beforehand(image: str) -> None:
    """A root that cannot be written has no other time for it."""
    assert run(image, "python", "-c", _COMPILED).split() == ["3.13", "True"]


@pytest.mark.parametrize("image", IMAGES)
def test_the_documented_size_is_about_right(image: str) -> None:
    """What an image adds to its base, within a tenth."""
    documented = {name: int(megabytes) for name, megabytes in SIZES.findall((ROOT / "docs/deployment.md").read_text())}
    size, base = (
        int(docker("image", "inspect", "--format={{.Size}}", name)) for name in (f"holdfast/{image}:{TAG}", BASE)
    )

    assert documented.keys() == set(IMAGES)
    assert documented[image] == pytest.approx((size - base) / _ONE_MB, rel=0.1)


def test_every_image_is_built_with_the_same_uv() -> None:
    """That of the Makefile, also where Compose builds."""
    pinned = re.search(r"^UV_VERSION := (\S+)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    files = [*ROOT.glob("services/*/Dockerfile"), ROOT / "tools/stripe-simulator/Dockerfile"]
    found = {match for file in files for match in re.findall(r"ARG UV_VERSION=(\S+)", file.read_text())}

    assert pinned
    assert len(files) == len(IMAGES)
    assert found == {pinned[1]}
