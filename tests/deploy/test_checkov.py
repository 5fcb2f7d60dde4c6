from pathlib import Path

from .rendering import OVERLAYS, render, run


def test_checkov_finds_nothing_without_a_reason(tmp_path: Path) -> None:
    """Reasons are in deploy/.checkov.yaml, or beside what they are about."""
    for overlay in OVERLAYS:
        (tmp_path / f"{overlay}.yaml").write_text(render(overlay))

    # It exits with 1 after a finding.
    run("checkov", "--config-file", "deploy/.checkov.yaml", "--directory", str(tmp_path))
