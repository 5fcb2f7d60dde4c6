"""A server whose power is cut keeps what it synced and nothing else: tests of durability rest on it."""

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from devstack.embedded_valkey import EmbeddedValkey
from devstack.processes import ProcessFailed, wait_until, wait_until_gone
from devstack.simulated_disk import SimulatedDisk

PATIENCE_SECONDS: Final = 30
EVERY_CHANGE: Final = {"appendfsync": "always"}
NEVER: Final = {"appendfsync": "no"}
ORPHANING_PARENT: Final = """
import os, signal, sys
from pathlib import Path
from devstack.embedded_valkey import EmbeddedValkey
from devstack.simulated_disk import SimulatedDisk
with SimulatedDisk() as disk:
    server = EmbeddedValkey(Path(sys.argv[1]), disk=disk)
    server.start()
    print(server.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
WRITER: Final = """
import os, sys
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT, 0o600)
os.write(file, b"kept")
(os.fsync if sys.argv[2] == "fsync" else os.fdatasync)(file)
os.write(file, b"lost")
os.rename(sys.argv[1], sys.argv[1] + ".renamed")
"""


@pytest.fixture
def disk() -> Iterator[SimulatedDisk]:
    """Give a sound disk."""
    with SimulatedDisk() as running:
        yield running


@pytest.fixture
def syncing(disk: SimulatedDisk) -> Iterator[EmbeddedValkey]:
    """Run a Valkey that syncs every change to the disk before it answers."""
    with EmbeddedValkey.temporary(disk=disk, options=EVERY_CHANGE) as server:
        yield server


@pytest.fixture
def careless(disk: SimulatedDisk) -> Iterator[EmbeddedValkey]:
    """Run a Valkey that appends every change to its file and never syncs it."""
    with EmbeddedValkey.temporary(disk=disk, options=NEVER) as server:
        yield server


def client_of(server: EmbeddedValkey, *, seconds: float = PATIENCE_SECONDS) -> redis.Redis:
    """Connect without ever trying twice."""
    return redis.Redis.from_url(server.url, decode_responses=True, socket_timeout=seconds, retry=Retry(NoBackoff(), 0))


@pytest.mark.parametrize("call", ["fsync", "fdatasync"])
def test_a_file_is_cut_to_what_its_last_sync_found(disk: SimulatedDisk, tmp_path: Path, call: str) -> None:
    """What was written after the sync is lost, under whatever name the file goes by then."""
    subprocess.run(disk.gated([sys.executable, "-c", WRITER, str(tmp_path / "file"), call]), check=True)

    lost = disk.lose_unsynced(tmp_path)

    assert (tmp_path / "file.renamed").read_bytes() == b"kept"
    assert lost == 4


def test_a_file_that_was_never_synced_is_empty(disk: SimulatedDisk, tmp_path: Path) -> None:
    """Its name is there and nothing else."""
    (tmp_path / "file").write_bytes(b"lost")

    lost = disk.lose_unsynced(tmp_path)

    assert ((tmp_path / "file").read_bytes(), lost) == (b"", 4)


def test_a_power_cut_takes_what_a_kill_does_not(careless: EmbeddedValkey) -> None:
    """The same server, the same change, never synced: after a kill it is there, after a power cut it is gone."""
    with client_of(careless) as client:
        client.set("kept", "by the kernel")
    careless.kill()
    careless.start()
    with client_of(careless) as client:
        after_the_kill = client.get("kept")

    lost = careless.cut_power()

    careless.start()
    with client_of(careless) as client:
        assert (after_the_kill, client.get("kept")) == ("by the kernel", None)
    assert lost > 0


def test_what_was_synced_outlives_every_power_cut(syncing: EmbeddedValkey) -> None:
    """Each change was on the disk before its answer, in this life of the server and in the next."""
    for number in range(3):
        with client_of(syncing) as client:
            client.set(str(number), "kept")
        syncing.cut_power()
        syncing.start()

    with client_of(syncing) as client:
        assert sorted(client.keys()) == ["0", "1", "2"]


def test_a_rewritten_file_is_kept_as_well(syncing: EmbeddedValkey) -> None:
    """The manifest leads to a new base, written by a child process and renamed, and nothing of it is lost."""
    with client_of(syncing) as client:
        client.set("old", "kept")
        client.bgrewriteaof()
        wait_until(
            lambda: (
                (syncing.append_only_dir / "appendonly.aof.2.base.rdb").exists()
                and not client.info("persistence")["aof_rewrite_in_progress"]
            ),
            "the file is rewritten",
            seconds=PATIENCE_SECONDS,
        )
        client.set("new", "kept")

    syncing.cut_power()

    syncing.start()
    with client_of(syncing) as client:
        assert sorted(client.keys()) == ["new", "old"]


def test_a_sync_that_hangs_keeps_the_answer_back(disk: SimulatedDisk, syncing: EmbeddedValkey) -> None:
    """Who is told before the disk has it would be told too early."""
    disk.hang()
    answers: list[object] = []
    with client_of(syncing) as client:
        asking = threading.Thread(target=lambda: answers.append(client.set("key", "value")))
        asking.start()
        asking.join(0.2)  # nothing must come in this time; when nothing does, no time would be enough to know
        early = list(answers)

        disk.repair()

        asking.join(PATIENCE_SECONDS)
    assert (early, answers) == ([], [True])


def test_what_hangs_is_lost_with_the_power(disk: SimulatedDisk, syncing: EmbeddedValkey) -> None:
    """A sync that was never done has done nothing."""
    disk.hang()
    with client_of(syncing, seconds=0.3) as client, pytest.raises(redis.TimeoutError):
        client.set("key", "value")

    syncing.cut_power()

    disk.repair()
    syncing.start()
    with client_of(syncing) as client:
        assert client.keys() == []


def test_a_slow_disk_is_waited_for(syncing: EmbeddedValkey, disk: SimulatedDisk) -> None:
    """A sync takes as long as the disk is told to take."""
    disk.latency_seconds = 0.1
    with client_of(syncing) as client:
        began = time.monotonic()

        client.set("key", "value")

    assert time.monotonic() - began >= 0.1


def test_a_server_hears_that_its_disk_fails(disk: SimulatedDisk, syncing: EmbeddedValkey) -> None:
    """It gets an input/output error; one that must sync every change then ends rather than lie."""
    disk.fail()

    with client_of(syncing) as client, pytest.raises(redis.ConnectionError):
        client.set("key", "value")

    wait_until(lambda: not syncing.running, "the server ended", seconds=PATIENCE_SECONDS)
    assert "Input/output error" in syncing.log.read_text()


def test_valkey_confirms_what_is_not_on_the_disk_unless_it_always_syncs(disk: SimulatedDisk) -> None:
    """Why durability `fsync` insists on `appendfsync always`: with `everysec`, WAITAOF speaks before the sync."""
    with EmbeddedValkey.temporary(disk=disk) as server, client_of(server) as client:
        early = 0
        for number in range(20):
            client.set("key", number)
            confirmed = client.waitaof(1, 0, PATIENCE_SECONDS * 1000)
            early += confirmed == [1, 0] and disk.unsynced_bytes(server.append_only_dir) > 0

    assert early > 0


def test_valkey_confirms_nothing_too_early_if_it_always_syncs(disk: SimulatedDisk, syncing: EmbeddedValkey) -> None:
    """There WAITAOF means what it says."""
    with client_of(syncing) as client:
        for number in range(20):
            client.set("key", number)

            confirmed = client.waitaof(1, 0, PATIENCE_SECONDS * 1000)

            assert (confirmed, disk.unsynced_bytes(syncing.append_only_dir)) == ([1, 0], 0)


def test_a_restart_is_no_power_cut(careless: EmbeddedValkey) -> None:
    """A server that stops in its own way syncs its file first."""
    with client_of(careless) as client:
        client.set("key", "kept")
    careless.stop()

    careless.cut_power()

    careless.start()
    with client_of(careless) as client:
        assert client.get("key") == "kept"


def test_without_a_simulated_disk_there_is_no_power_to_cut(valkey: EmbeddedValkey) -> None:
    """Nobody takes a kill for a test of durability."""
    with pytest.raises(ProcessFailed, match="a kill loses nothing"):
        valkey.cut_power()


def test_where_syncs_cannot_be_held_back_the_server_does_not_start(disk: SimulatedDisk, tmp_path: Path) -> None:
    """A kernel that refuses is named; no test goes on as if its disk were simulated."""
    refused = subprocess.run(
        disk.gated(disk.gated([shutil.which("true") or "true"])), capture_output=True, text=True, check=False
    )

    assert refused.returncode == 1
    assert "the kernel does not let syncs be held back (seccomp): Device or resource busy" in refused.stderr


def test_a_server_dies_with_its_parent_on_a_simulated_disk_too(tmp_path: Path) -> None:
    """The gate between leash and server does not untie the leash."""
    parent = subprocess.run(
        [sys.executable, "-c", ORPHANING_PARENT, tmp_path / "data"], capture_output=True, check=False
    )

    wait_until_gone([int(parent.stdout)], seconds=PATIENCE_SECONDS)
