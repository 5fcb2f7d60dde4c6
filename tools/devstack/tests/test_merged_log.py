import io
import json
import time
from pathlib import Path

from devstack.merged_log import MergedLog, readable


def test_a_json_line_becomes_readable() -> None:
    """Time, level, message and the rest as pairs."""
    line = json.dumps(
        {
            "time": "2026-01-02T03:04:05.678Z",
            "level": "info",
            "service": "orders",
            "logger": "access",
            "message": "RecordPurchase",
            "code": "OK",
        }
    )

    assert readable(line) == "03:04:05.678 info    RecordPurchase code=OK"


def test_a_failure_is_told_by_type_and_place() -> None:
    """An exception takes a few words, not a page."""
    causes = [{"type": "KeyError", "frames": ["a.py:1 f", "b.py:2 g"]}]

    text = readable(json.dumps({"level": "error", "message": "unexpected failure", "exception": causes}))

    assert text == "error   unexpected failure <- KeyError at b.py:2 g"


def test_any_other_line_stays_as_it_is() -> None:
    """Servers that log in their own way are not rewritten."""
    assert readable("LOG:  checkpoint complete") == "LOG:  checkpoint complete"


def test_lines_of_all_processes_come_together_under_their_names(tmp_path: Path) -> None:
    """One file and one stream hold what several processes wrote, also after a stop."""
    (tmp_path / "orders.log").write_text("first\n")
    stream = io.StringIO()
    log = MergedLog({name: tmp_path / f"{name}.log" for name in ("orders", "gateway")}, tmp_path / "all.log")
    log.echo_to(stream)
    log.start()

    (tmp_path / "gateway.log").write_text("second\n")
    log.stop()

    expected = "orders  | first\ngateway | second\n"
    assert (tmp_path / "all.log").read_text() == stream.getvalue() == expected


def test_half_a_line_waits_for_its_end(tmp_path: Path) -> None:
    """A line that is still being written appears once, whole."""
    source = tmp_path / "orders.log"
    log = MergedLog({"orders": source}, tmp_path / "all.log")
    log.start()
    with source.open("a") as writer:
        writer.write("first\nhal")
        writer.flush()
        deadline = time.monotonic() + 5
        while "first" not in (tmp_path / "all.log").read_text():
            assert time.monotonic() < deadline
            time.sleep(0.01)

        writer.write("f\n")

    log.stop()
    assert (tmp_path / "all.log").read_text() == "orders | first\norders | half\n"
