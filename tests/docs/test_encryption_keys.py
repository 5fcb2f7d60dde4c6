"""The command by which the documents make an encryption key makes one."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from servicekit.encryption import Keyring

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("service", ["checkout-session", "orders"])
def test_the_documented_command_makes_a_key(service: str) -> None:
    """Its output is a whole setting, and another key each time."""
    (command,) = re.findall(r"^(python -c .+)$", (ROOT / "services" / service / "README.md").read_text(), re.MULTILINE)
    arguments = [sys.executable, *shlex.split(command)[1:]]

    made = [subprocess.run(arguments, capture_output=True, text=True, check=True).stdout for _ in range(2)]

    assert [Keyring.parse(text).first_id for text in made] == ["k1", "k1"]
    assert made[0] != made[1]
