"""The orders command, as an operator runs it."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import pytest

from orders.postgres.migrate import head_revision

from .commands import command_line, run
from .service import KEYS, connected, serving


def environment(database_url: str) -> dict[str, str]:
    """Return the environment of a service that listens on a free port."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "ORDERS_DATABASE_URL": database_url,
        "ORDERS_ENCRYPTION_KEYS": KEYS,
        "ORDERS_LISTEN": "127.0.0.1:0",
        "ORDERS_DRAIN_SECONDS": "1",
    }


@contextmanager
def running(database_url: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run the command until the test is done with it."""
    process = subprocess.Popen(
        command_line(*arguments), env=environment(database_url), stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


async def test_migrate_brings_the_schema_to_head(empty_database_url: str) -> None:
    """And ends well."""
    done = run(environment(empty_database_url), "migrate")

    assert done.code == 0, done.said
    async with connected(empty_database_url) as sql:
        assert await sql.fetchval("SELECT version_num FROM alembic_version") == head_revision()


def test_print_settings_masks_the_password(database_url: str) -> None:
    """The settings in force, and nothing is started."""
    done = run(environment(database_url), "--print-settings")

    assert done.code == 0, done.said
    assert '"listen": "127.0.0.1:0"' in done.printed
    assert database_url not in done.printed


def test_a_missing_setting_is_named() -> None:
    """By its environment variable, with exit code 2."""
    done = run(environment("not-a-url"))

    assert done.code == 2
    assert "ORDERS_DATABASE_URL" in done.said
    assert "not-a-url" not in done.said


@pytest.mark.parametrize("arguments", [(), ("serve",)])
async def test_it_serves_until_sigterm(database_url: str, arguments: tuple[str, ...]) -> None:
    """Serving is what it does unless told otherwise; it drains and ends with 0."""
    with running(database_url, *arguments) as process:
        assert process.stderr is not None
        port = (
            next(line for line in process.stderr if '"port"' in line).split('"port": ')[1].split("}")[0].split(",")[0]
        )
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            ready = await serving(channel)

        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)

    assert ready
    assert process.returncode == 0
