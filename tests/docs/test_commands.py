"""What the documents tell people to run, runs."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "docs/deployment.md")
DEMO_SECONDS = 90


def make_targets() -> set[str]:
    """Return every make target that the documents name."""
    text = "\n".join((ROOT / document).read_text() for document in DOCUMENTS)
    return set(re.findall(r"\bmake ([a-z][a-z-]*)\b", text)) - {"can"}


@pytest.mark.parametrize("target", sorted(make_targets()))
def test_every_make_target_that_is_named_exists(target: str) -> None:
    """`make -n` knows the target."""
    dry_run = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)

    assert dry_run.returncode == 0, dry_run.stderr


@pytest.mark.parametrize("document", sorted(path.relative_to(ROOT) for path in ROOT.glob("docs/**/*.md")))
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    """Every relative link of a page points at a file that is there."""
    page = ROOT / document
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())

    assert [link for link in links if not (page.parent / link).exists()] == []


def test_make_demo_tells_its_story_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    """The first command of the README buys something, stays up, and leaves nothing running."""
    environment = {**os.environ, "HOLDFAST_HOME": str(tmp_path / "home"), "PYTHONUNBUFFERED": "1"}
    log = tmp_path / "demo.log"
    with log.open("w") as output:
        demo = subprocess.Popen(
            ["make", "demo"], cwd=ROOT, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        _wait_for(log, "Ctrl-C", demo)
        told = log.read_text()
    finally:
        os.killpg(demo.pid, signal.SIGINT)
        demo.wait(DEMO_SECONDS)

    assert re.search(r"order [0-9A-Z-]+: 5050 usd, paid", told)
    assert '{"checkoutAttemptId": ' in told
    assert not (tmp_path / "home" / "stack.json").exists()
    assert _left_running(tmp_path) == []


def test_make_certs_makes_certificates(tmp_path: Path) -> None:
    """For every part, in the home that HOLDFAST_HOME names."""
    environment = {**os.environ, "HOLDFAST_HOME": str(tmp_path / "home")}

    subprocess.run(["make", "certs"], cwd=ROOT, env=environment, capture_output=True, check=True)

    made = {path.name for path in (tmp_path / "home" / "certs").iterdir()}
    parts = ("checkout-session", "orders", "payments-gateway", "redis", "postgres", "unauthorized-client")
    assert made == {f"{part}.{kind}" for part in parts for kind in ("pem", "key")} | {"ca.pem", "ca.key"}


def _wait_for(log: Path, words: str, demo: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + DEMO_SECONDS
    while words not in log.read_text():
        assert demo.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.1)


def _left_running(home: Path) -> list[str]:
    """Return the command lines of processes that were started for this home."""
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        try:
            if str(home).encode() in environment.read_bytes():
                found.append((environment.parent / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found
