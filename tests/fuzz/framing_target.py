"""Requests that are cut up, cut off, or longer or shorter than they say."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from hypothesis import strategies as st

from .gateway_answers import check
from .hostile import texts
from .http_wire import exchange
from .messages import mutated_bytes
from .records import Promised
from .subject import Subject
from .targets import Target
from .webhook_targets import WEBHOOK, sign

_LIMIT: Final = 256 * 1024
_OK: Final = 200
_JSON: Final = b"Content-Type: application/json\r\n"
_CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"
_LENGTHS: Final = (b"5", b"99999", b"-1", b"+5", b"0x5", b"5, 5", b"\xd9\xa5", b"9" * 500, b"", b"1e3", b"0")
_ODD_CHUNKS: Final = (
    b"ffffffffffffffff\r\n",
    b"-1\r\nx\r\n0\r\n\r\n",
    b"0\r\nX: y\r\n\r\n",
    b"1;" + b"e" * 9000 + b"\r\nx\r\n0\r\n\r\n",
    b"1\nx\n0\n\n",
    b"",
)


@dataclass(frozen=True)
class Framing:
    """A request's own header lines and what follows them."""

    lines: bytes
    body: bytes
    break_off: bool = True
    """Whether nothing more will come after it; else the server has to see for itself that it is whole."""


def targets(subject: Subject, promised: Promised) -> Iterator[Target]:
    """Yield framings of a webhook's delivery."""
    del promised  # none of these is signed by anybody
    gateway = subject.gateway
    yield Target("webhook framing", _framings(), lambda framing: _send(gateway, framing), short=80)


def _send(gateway: str, framing: Framing) -> None:
    """Send it: it may be refused or cut off, and nothing else."""
    signature = sign(framing.body, "whsec_wrong", int(time.time()))
    head = b"POST %b HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n" % WEBHOOK.encode()
    sent = b"%bStripe-Signature: %b\r\n%b\r\n%b" % (head, signature, framing.lines, framing.body)
    answer = exchange(gateway, sent, break_off=framing.break_off)
    if answer is not None:
        check(answer)
        assert answer.status != _OK
    assert answer is not None or framing.break_off, "a whole request was not answered"


def _framings() -> st.SearchStrategy[Framing]:
    chunks = st.lists(st.binary(min_size=1, max_size=50), max_size=4).map(_in_chunks)
    odd_chunks = chunks.flatmap(mutated_bytes) | st.sampled_from(_ODD_CHUNKS)
    both = st.sampled_from((_JSON + _CHUNKED, _JSON + _CHUNKED + b"Content-Length: 3\r\n", _CHUNKED))
    return st.one_of(
        st.builds(Framing, both, chunks | odd_chunks),
        st.builds(lambda body: Framing(_JSON + _CHUNKED, body, break_off=False), chunks),
        st.builds(Framing, st.sampled_from(_LENGTHS).map(_length), st.binary(max_size=20)),
        st.builds(_heavy, st.sampled_from((_LIMIT + 1, _LIMIT + 1024, 3 * _LIMIT)), st.sampled_from((_JSON, b""))),
        st.builds(lambda text: Framing(text.encode()[:200] + b"\r\n" + _length(b"2"), b"{}"), texts()),
    )


def _length(value: bytes) -> bytes:
    return b"%bContent-Length: %b\r\n" % (_JSON, value)


def _heavy(size: int, kind: bytes) -> Framing:
    return Framing(b"%bContent-Length: %d\r\n" % (kind, size), b"x" * size, break_off=False)


def _in_chunks(parts: list[bytes]) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
