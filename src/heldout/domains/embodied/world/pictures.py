"""Retrieval in pictures: what is now, what will be, and what the model took for it; the best ranks and the worst."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heldout.domains.embodied.episodes.media import read_frames
from heldout.domains.embodied.index.source import IndexSource
from heldout.domains.embodied.world.pairs import Pair
from heldout.errors import HeldoutError
from heldout.report.pages import page_head

HTML_FILE, PNG_FILE = "retrieval_examples.html", "retrieval_examples.png"
_EACH = 3
_SIDE = 96
_CANDIDATES = 3
_STYLE = (
    ".strip { display: flex; flex-wrap: wrap; gap: 8px; } "
    ".strip figure { margin: 0; width: 8rem; } img { width: 100%; }"
)
_NOTE = (
    "From left to right: the last picture of the window, that of its true future, and the futures that lie nearest to "
    "what the model predicted. A distance is one of standardised features, without a unit; less is nearer. The rank is "
    "the place of the true future among all candidates."
)
Row = Mapping[str, Any]
Picture = NDArray[np.uint8]


def examples(rows: Sequence[Row], pairs: Mapping[str, Pair], source: IndexSource) -> dict[str, bytes]:
    """A page and one picture of it; nothing where no window has a video."""
    order = sorted(range(len(rows)), key=lambda place: (rows[place]["rank"], place))
    best = order[:_EACH]
    worst = [place for place in order[-_EACH:] if place not in best]
    futures = {str(one.future["id"]): one.future for one in pairs.values()}
    strips = []
    for title, places in (("Best ranks", best), ("Worst ranks", worst)):
        for place in places:
            row = rows[place]
            shown = _strip(row, pairs[str(row["id"])], futures, source)
            if shown:
                strips.append((title, row, shown))
    if not strips:
        return {}
    return {HTML_FILE: _page(strips), PNG_FILE: _png(_sheet([shown for _, _, shown in strips]))}


def _strip(
    row: Row, one: Pair, futures: Mapping[str, Mapping[str, Any]], source: IndexSource
) -> list[tuple[str, Picture]]:
    """Now, the true future, and the first candidates."""
    found = [("now", _last(one.context, source)), (f"true future, rank {row['rank']}", _last(one.future, source))]
    for number, candidate in enumerate(row["ranking"][:_CANDIDATES], start=1):
        record = futures[candidate["candidate_future_record_id"]]
        right = " (true)" if candidate["candidate_future_record_id"] == row["future_record_id"] else ""
        found.append((f"{number}. distance {candidate['distance']:.3g}{right}", _last(record, source)))
    return [(title, picture) for title, picture in found if picture is not None]


def _last(record: Mapping[str, Any], source: IndexSource) -> Picture | None:
    """The first camera's last picture of a window."""
    videos = record["modalities"]["media"]["video_streams"]
    if not videos:
        return None
    number = int(videos[0]["last_frame"])
    try:
        picture = read_frames(source.folder / videos[0]["path"], number, number + 1)[0]
    except HeldoutError:
        return None
    rows, columns = (np.arange(_SIDE) * side // _SIDE for side in picture.shape[:2])
    small: Picture = picture[rows][:, columns]
    return small


def _sheet(strips: Sequence[Sequence[tuple[str, Picture]]]) -> Picture:
    """All strips under each other, a line of white between pictures."""
    width = max(len(strip) for strip in strips)
    sheet = np.full((len(strips) * (_SIDE + 4), width * (_SIDE + 4), 3), 255, np.uint8)
    for row, strip in enumerate(strips):
        for column, (_, picture) in enumerate(strip):
            top, left = row * (_SIDE + 4), column * (_SIDE + 4)
            sheet[top : top + _SIDE, left : left + _SIDE] = picture
    return sheet


def _png(picture: Picture) -> bytes:
    from matplotlib.image import imsave

    buffer = io.BytesIO()
    imsave(buffer, picture, format="png", metadata={"Software": ""})
    return buffer.getvalue()


def _page(strips: Sequence[tuple[str, Row, Sequence[tuple[str, Picture]]]]) -> bytes:
    body, last = [f"<h1>What was retrieved</h1><p>{html.escape(_NOTE)}</p>"], ""
    for title, row, shown in strips:
        if title != last:
            body.append(f"<h2>{title}</h2>")
            last = title
        figures = "".join(
            f'<figure><img alt="{html.escape(words)}" src="data:image/png;base64,'
            f'{base64.b64encode(_png(picture)).decode()}"><figcaption>{html.escape(words)}</figcaption></figure>'
            for words, picture in shown
        )
        body.append(f'<h3>{html.escape(str(row["id"]))}</h3><div class="strip">{figures}</div>')
    head = f"{page_head('What was retrieved')}<style>{_STYLE}</style>"
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>{"".join(body)}</body></html>\n'.encode()
