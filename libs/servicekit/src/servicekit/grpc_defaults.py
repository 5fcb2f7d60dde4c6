"""What both ends of a call agree on."""

from typing import Final

REQUEST_ID_KEY: Final = "x-request-id"
"""Metadata key under which the request id travels, with a call and with an error's answer."""

DEFAULT_MAX_MESSAGE_BYTES: Final = 8 * 1024 * 1024
"""Largest message either way. gRPC's own 4 MiB is close to the largest message that the contracts allow."""

KEEPALIVE_MS: Final = 10_000
"""How often a channel asks whether its peer is still there; a server takes pings this often without complaint."""
