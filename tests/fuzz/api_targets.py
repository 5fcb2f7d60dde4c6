"""Routes for browsers, with mutated bodies."""

import json
import uuid
from collections.abc import Iterator
from typing import Any, Final

from hypothesis import strategies as st

from .fuzzed_system import INITIATE, FuzzedSystem, initiate_body
from .http_calls import Headers, post_json
from .json_inputs import header_values, mutated_json, write_json
from .targets import Target

_OK: Final = 200


def targets(system: FuzzedSystem) -> Iterator[Target]:
    """Yield the bodies of both POST routes."""
    system.announced["closed"].add(system.open_checkouts[0][0])  # the first accepted `supersedes` closes it
    tokens: st.SearchStrategy[Headers] = st.sampled_from(({}, {"Authorization": system.authorization}))
    names = st.sampled_from(("Authorization", "Idempotency-Key", "X-Request-Id", "X-Forwarded-For"))
    headers = st.builds(
        lambda token, others: {**token, **others}, tokens, st.dictionaries(names, header_values(), max_size=2)
    )
    keys = st.uuids(version=4).map(lambda key: {"Idempotency-Key": str(key).encode()})

    def initiate(given: tuple[Headers, Any]) -> None:
        status, body = post_json(system.gateway, INITIATE, given[0], write_json(given[1]).encode())
        if status == _OK:
            granted = json.loads(body)
            assert granted["intentAmount"] > 0
            system.announce(str(uuid.UUID(granted["checkoutAttemptId"])), "attempt", "closed", "orders")

    def complete(given: tuple[Headers, Any]) -> None:
        post_json(system.gateway, "/api/orders", given[0], write_json(given[1]).encode())

    initiates = st.tuples(tokens | keys | headers, _initiate_bodies(system))
    yield Target("initiate bodies", initiates, initiate, short_inputs=120)
    yield Target("complete bodies", st.tuples(tokens | headers, _complete_bodies(system)), complete, short_inputs=60)


def _initiate_bodies(system: FuzzedSystem) -> st.SearchStrategy[Any]:
    with_foreign = initiate_body(system.stack)
    fresh = {name: value for name, value in with_foreign.items() if name != "supersedes"}
    with_unknown = fresh | {"supersedes": system.lost_attempts[0]}
    replacing = fresh | {"supersedes": system.open_checkouts[0][0]}
    return st.sampled_from((fresh, fresh, with_foreign, with_unknown, replacing)).flatmap(mutated_json)


def _complete_bodies(system: FuzzedSystem) -> st.SearchStrategy[Any]:
    _, (attempt_id, intent_id), (_, other_intent_id), *_ = system.open_checkouts
    known = {"checkoutAttemptId": attempt_id, "paymentIntentId": intent_id}
    unknown = {"checkoutAttemptId": system.lost_attempts[0], "setupIntentId": "seti_1"}
    mismatched = known | {"paymentIntentId": other_intent_id}
    return st.sampled_from((known, unknown, mismatched)).flatmap(mutated_json)
