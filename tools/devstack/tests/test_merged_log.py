import io
import json
import time
from pathlib import Path

import pytest

from devstack.merged_log import MergedLog, formatted

RPC = {
    "time": "2026-01-02T03:04:05.678Z",
    "level": "info",
    "service": "orders",
    "logger": "access",
    "message": "RecordPurchase",
    "code": "OK",
}
FAILURE = {
    "level": "error",
    "message": "unexpected failure",
    "exception": [{"type": "KeyError", "frames": ["a.py:1 f", "b.py:2 g"]}],
}


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (json.dumps(RPC), "03:04:05.678 info    RecordPurchase code=OK"),
        (json.dumps(FAILURE), "error   unexpected failure <- KeyError at b.py:2 g"),
        ("LOG:  checkpoint complete", "LOG:  checkpoint complete"),
    ],
)
def test_json_lines_are_formatted(line: str, text: str) -> None:
    """Time, level, message, fields, and the place of an exception. Other lines stay as they are."""
    assert formatted(line) == text


def test_logs_are_merged_line_by_line(tmp_path: Path) -> None:
    """An unfinished line waits for its end. The stream gets every line too."""
    (tmp_path / "orders.log").write_text("first\n")
    stream = io.StringIO()
    log = MergedLog({name: tmp_path / f"{name}.log" for name in ("orders", "gateway")}, tmp_path / "all.log")
    log.echo_to(stream)
    log.start()
    with (tmp_path / "gateway.log").open("a") as writer:
        writer.write("second\nhal")
        writer.flush()
        deadline = time.monotonic() + 5
        while "second" not in (tmp_path / "all.log").read_text():
            assert time.monotonic() < deadline
            time.sleep(0.01)

        writer.write("f\n")

    log.stop()
    expected = ["gateway | half", "gateway | second", "orders  | first"]
    assert sorted((tmp_path / "all.log").read_text().splitlines()) == expected
    assert sorted(stream.getvalue().splitlines()) == expected
