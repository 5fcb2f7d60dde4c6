"""The types in the comments of the stand-in for Stripe.js."""

import subprocess
import sys
from pathlib import Path

import pytest

import stripe_simulator.stripe_js

ROOT = Path(__file__).parents[3]
COMPILER = ROOT / "frontend/node_modules/typescript/bin/tsc"
OPTIONS = "--noEmit --allowJs --checkJs --strict --noUnusedLocals --target es2022 --lib es2022,dom,dom.iterable"


@pytest.mark.skipif(not COMPILER.exists(), reason="TypeScript is not installed: make frontend")
def test_the_types_agree() -> None:
    """The files are one script, so they are checked together."""
    node = Path(sys.executable).with_name("node")
    sources = sorted(Path(stripe_simulator.stripe_js.__file__).parent.glob("*.js"))

    checked = subprocess.run([node, COMPILER, *OPTIONS.split(), *sources], capture_output=True, text=True, check=False)

    assert sources
    assert (checked.returncode, checked.stdout) == (0, "")
