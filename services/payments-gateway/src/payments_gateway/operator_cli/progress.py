"""Progress of long work, on standard error and only on a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

Report = Callable[[int], None]
"""Called with the number of things that are done so far."""


@contextmanager
def progress(description: str) -> Iterator[Report]:
    """Show a description, the count that is reported, and the time that has passed."""
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}: {task.completed}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as shown:
        task = shown.add_task(description, total=None)
        yield lambda done: shown.update(task, completed=done)
