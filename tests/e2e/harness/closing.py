"""The base of clients and proxies that are used in `async with`."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class AsyncClosing(ABC):
    """An object that is closed at the end of `async with`."""

    async def __aenter__(self) -> Self:
        """Open it."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        await self.close()

    @abstractmethod
    async def close(self) -> None:
        """Close its connections."""
