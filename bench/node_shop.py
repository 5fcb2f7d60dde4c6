"""A shop as it is usually written on Node, beside the services: `node_shop/server.js`."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from bench.bare_services import LOOPBACK
from bench.floor import Baseline, end
from bench.generator import ROOT
from bench.stack import BenchStack

_FOLDER: Final = ROOT / "bench" / "node_shop"
_DATABASE: Final = "node_shop"


def node_shop_is_installed() -> bool:
    """Return True if Node and the shop's packages are there."""
    return _node() is not None and (_FOLDER / "node_modules" / ".installed").exists()


@contextmanager
def node_shop(stack: BenchStack) -> Iterator[Baseline]:
    """Run the shop on a database of its own."""
    postgres, facts = stack.stack.postgres, stack.stack.facts
    postgres.create_database(_DATABASE)
    settings = {
        "databaseUrl": postgres.url(_DATABASE),
        "stripeApi": facts.stripe_api,
        "stripeKey": facts.stripe_secret_key,
        "webhookSecret": facts.webhook_secret,
    }
    process = subprocess.Popen(
        [_node() or "node", "server.js"],
        cwd=_FOLDER,
        env={**os.environ, "NODE_ENV": "production", "NODE_SHOP_SETTINGS": json.dumps(settings)},
        stdout=subprocess.PIPE,
    )
    try:
        if process.stdout is None:
            raise RuntimeError("the process has no pipe")
        address = f"http://{LOOPBACK}:{int(process.stdout.readline())}"
        yield Baseline({"gateway": process.pid}, address)
    finally:
        end(process)


def _node() -> str | None:
    return shutil.which("node", path=f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}")
