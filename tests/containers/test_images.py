"""The images: one service with its locked dependencies, no build tools, an unprivileged user."""

import json
import os
import re
import subprocess
import tomllib
from typing import Any, Final

import pytest
from packaging.requirements import Requirement

from tests.containers.compose_project import ROOT, docker

pytestmark = [pytest.mark.containers, pytest.mark.timeout(300)]

BASE: Final = "python:3.13-slim"
TAG: Final = os.environ.get("HOLDFAST_IMAGE_TAG") or "dev"
IMAGES: Final = ("checkout-session", "orders", "payments-gateway", "stripe-simulator")
IN_AN_IMAGE: Final = {
    "platform_machine": "x86_64",
    "platform_system": "Linux",
    "python_full_version": "3.13.0",
    "python_version": "3.13",
    "sys_platform": "linux",
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


def run(image: str, *command: str) -> str:
    """Run a command in a new container with the restrictions of a deployment; return its output."""
    restrictions = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--network=none")
    return docker("run", "--rm", *restrictions, f"holdfast/{image}:{TAG}", *command)


def config_of(image: str) -> Any:
    """Return an image's configuration."""
    return json.loads(docker("image", "inspect", f"holdfast/{image}:{TAG}"))[0]["Config"]


def locked_distributions(package: str) -> dict[str, str]:
    """Return the locked versions of a package of the workspace and of everything that it needs."""
    words = ("--frozen", "--no-dev", "--no-hashes", "--no-annotate", "--no-header", f"--package={package}")
    exported = subprocess.check_output([ROOT / ".tools/bin/uv", "export", "--quiet", *words], cwd=ROOT, text=True)
    found: dict[str, str] = {}
    for line in exported.splitlines():
        if line.startswith("-e "):
            project = tomllib.loads((ROOT / line.removeprefix("-e ") / "pyproject.toml").read_text())["project"]
            found[project["name"]] = project["version"]
            continue
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate(dict(IN_AN_IMAGE)):
            found[requirement.name] = str(requirement.specifier).removeprefix("==")
    return found


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_holds_exactly_what_the_lock_gives_its_service(image: str) -> None:
    """No distribution of another service and no development tool."""
    installed = json.loads(run(image, "python", "-c", _LIST))

    assert installed == locked_distributions(f"holdfast-{image}")


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_has_nothing_to_build_with(image: str) -> None:
    """No compiler, no package manager of ours, no download tool."""
    script = f"for tool in {' '.join(BUILD_TOOLS)}; do command -v $tool; done; true"

    assert run(image, "sh", "-c", script) == ""


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_runs_as_a_user_without_a_name(image: str) -> None:
    """The user is a number, so that an orchestrator sees that it is not root; it cannot write to the installation."""
    user = config_of(image)["User"]

    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)
    assert run(image, "id", "-u").strip() == user.partition(":")[0]
    assert run(image, "find", "/opt/holdfast", "-writable", "!", "-type", "l") == ""


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_says_what_it_is_and_starts_without_a_shell(image: str) -> None:
    """OCI labels, a command that receives signals itself, and a health check."""
    config = config_of(image)

    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in config["Labels"].items()}
    assert labels["title"] == image
    assert labels.keys() >= {"description", "version", "revision"}
    assert config["Cmd"][0] == image
    assert config["Healthcheck"]["Test"][:2] == ["CMD", "python"]


@pytest.mark.parametrize("image", IMAGES)
def test_inside_is_python_3_13_compiled_beforehand(image: str) -> None:
    """Python cannot compile at run time, because the root is read-only."""
    assert run(image, "python", "-c", _COMPILED).split() == ["3.13", "True"]


@pytest.mark.parametrize("image", IMAGES)
def test_the_documented_size_is_about_right(image: str) -> None:
    """The documented size is within 10 % of what the image adds to its base."""
    documented = {name: int(megabytes) for name, megabytes in SIZES.findall((ROOT / "docs/deployment.md").read_text())}
    size, base = (
        int(docker("image", "inspect", "--format={{.Size}}", name)) for name in (f"holdfast/{image}:{TAG}", BASE)
    )

    assert documented.keys() == set(IMAGES)
    assert documented[image] == pytest.approx((size - base) / _ONE_MB, rel=0.1)


def test_the_gateways_image_has_the_operators_command() -> None:
    """With every verb, and without a network."""
    shown = run("payments-gateway", "holdfast", "--help")

    assert {"audit", "explain", "quarantine", "refund", "subscriptions"} <= set(shown.split())
