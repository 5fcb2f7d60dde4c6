"""Values that both ends of a gRPC call share."""

from typing import Final

REQUEST_ID_KEY: Final = "x-request-id"
"""Metadata key of the request id, in requests and in error answers."""

DEFAULT_MAX_MESSAGE_BYTES: Final = 8 * 1024 * 1024
"""Largest message either way. gRPC's own 4 MiB is close to the largest message that the contracts allow."""
