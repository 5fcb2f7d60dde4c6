"""Failure of another service, in words that use cases may catch and raise."""


class ServiceUnavailable(Exception):
    """The other service did not answer in time or cannot be reached. The same call may succeed later."""

    def __init__(self, service: str) -> None:
        super().__init__(f"{service} is unavailable")
        self.service = service


class ServiceOverloaded(ServiceUnavailable):
    """The other service refused the call, because it has too many. Nothing of it was begun."""
