"""What commands draw: tables as text, and bars on a terminal."""

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

WIDTH = 100  # columns where there is no terminal


def drawn(shown: RenderableType) -> str:
    """As text, as wide as the terminal is."""
    console = Console(width=None if Console().is_terminal else WIDTH)
    with console.capture() as text:
        console.print(shown)
    return text.get().rstrip()


def bar() -> Progress:
    """A bar of how many are done of how many, on stderr; none where that is no terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    return Progress(
        *columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal
    )
