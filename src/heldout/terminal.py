"""The one console: it colours and draws, and shows as escapes whatever else would steer a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from heldout.printable import printable_lines


class _Console(Console):
    """Rich's console. Its own codes go past the filter of the streams, so that what is shown is filtered here."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Segments of text, without what would steer the terminal; Rich's own codes are controls and stay."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable_lines(segment.text))


def open_console(*, file: Any = None, width: int | None = None) -> Console:
    """A console on standard output, or on another stream; plain where that is no terminal."""
    options: dict[str, Any] = {"highlight": False, "soft_wrap": True}
    return _Console(file=file, width=width, **options)
