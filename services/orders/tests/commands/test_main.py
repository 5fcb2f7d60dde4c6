import asyncio
import json
import signal

import grpc
import pytest

from orders.postgres.migrations import head_revision

from ..command_runner import command_line, environment, run
from ..schema import set_schema_version
from ..service import connected, serving


async def test_migrate_brings_the_schema_to_head(empty_database_url: str) -> None:
    """It exits with 0."""
    completed = run(environment(empty_database_url), "migrate")

    assert completed.code == 0, completed.stderr
    async with connected(empty_database_url) as sql:
        assert await sql.fetchval("SELECT version_num FROM alembic_version") == head_revision()


@pytest.mark.parametrize(("oldest_code", "code"), [(1, 0), (9999, 3)], ids=["rollback", "no rollback"])
async def test_migrate_leaves_a_newer_schema_alone(own_database_url: str, oldest_code: int, code: int) -> None:
    """It fails only if this code may not run on it, and says so, without a traceback."""
    await set_schema_version(own_database_url, "9999_newer", oldest_code)

    completed = run(environment(own_database_url), "migrate")

    assert completed.code == code
    assert "9999_newer" in completed.stderr
    assert "Traceback" not in completed.stderr
    async with connected(own_database_url) as sql:
        assert await sql.fetchval("SELECT version_num FROM alembic_version") == "9999_newer"


def test_print_settings_masks_the_password(shared_database_url: str) -> None:
    """It prints the settings, and starts nothing."""
    completed = run(environment(shared_database_url), "--print-settings")

    assert completed.code == 0, completed.stderr
    assert '"listen": "127.0.0.1:0"' in completed.stdout
    assert shared_database_url not in completed.stdout


def test_an_invalid_setting_is_named() -> None:
    """By its environment variable and without its value, with exit code 2."""
    completed = run(environment("not-a-url"))

    assert completed.code == 2
    assert "ORDERS_DATABASE_URL" in completed.stderr
    assert "not-a-url" not in completed.stderr


@pytest.mark.parametrize("arguments", [(), ("serve",)])
async def test_it_serves_until_sigterm(shared_database_url: str, arguments: tuple[str, ...]) -> None:
    """Serving is the default command; it drains and exits with 0."""
    process = await asyncio.create_subprocess_exec(
        *command_line(*arguments), env=environment(shared_database_url), stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(60):
            async with grpc.aio.insecure_channel(f"127.0.0.1:{await _logged_port(process)}") as channel:
                ready = await serving(channel)
            process.send_signal(signal.SIGTERM)
            await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()

    assert ready
    assert process.returncode == 0


async def _logged_port(process: asyncio.subprocess.Process) -> int:
    assert process.stderr is not None
    while line := await process.stderr.readline():
        if port := json.loads(line).get("port"):
            return int(port)
    raise AssertionError("the command ended before it served")
