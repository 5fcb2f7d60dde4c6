"""The README names every event that the gateway has to be told of, and none that Stripe does not have."""

import re
from fnmatch import fnmatch
from pathlib import Path

from payments_gateway.stripe_api.webhooks import EVENT_TYPES

README = Path(__file__).parents[2] / "README.md"


def test_the_readme_names_every_event_to_subscribe_to() -> None:
    """An event that is not subscribed to is never told of."""
    section = README.read_text().partition("## Point Stripe at it")[2].partition("\n## ")[0]
    named = re.findall(r"`([a-z_]+\.[a-z_.]*(?:\*|[a-z]))`", section)

    unnamed = {event for event in EVENT_TYPES if not any(fnmatch(event, pattern) for pattern in named)}
    idle = {pattern for pattern in named if not any(fnmatch(event, pattern) for event in EVENT_TYPES)}

    assert (unnamed, idle) == (set(), set())
