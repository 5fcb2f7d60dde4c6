import subprocess

import pytest

from .rendering import OVERLAYS, ROOT, TOOLS, render


def violations(rendered: str) -> str:
    """Return what the schemas of Kubernetes and of custom resources object to."""
    words = (TOOLS / "python", ROOT / "deploy/tools/validate.py", "/dev/stdin")
    return subprocess.run(words, input=rendered, capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_is_valid(overlay: str) -> None:
    """By the schemas of the newest Kubernetes that the tool knows, and of the operators' custom resources."""
    assert violations(render(overlay)) == ""


@pytest.mark.parametrize(
    ("overlay", "key"),
    [
        ("local", "minReadySeconds"),
        ("local", "matchLabelKeys"),
        ("production", "dnsNames"),
        ("production", "remoteRef"),
        ("production", "secretStoreRef"),
    ],
)
def test_an_unknown_key_is_a_violation(overlay: str, key: str) -> None:
    """A cluster would drop it, and the manifest would not do what it says."""
    assert "misspelt" in violations(render(overlay).replace(key, f"misspelt{key}", 1))
