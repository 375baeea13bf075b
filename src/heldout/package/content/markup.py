"""Pages that stand alone: nothing loaded from elsewhere, nothing embedded but styles, scripts of the page and plots."""

from __future__ import annotations

import base64
import binascii
import itertools
import re
import urllib.parse
from collections.abc import Callable
from html.parser import HTMLParser
from typing import NamedTuple

_LOADING = frozenset(("src", "srcset", "data", "poster", "background", "action", "formaction", "manifest", "codebase"))
_LINKS = frozenset(("a", "area"))
_LOADED_BY_HREF = frozenset(("link", "image", "use", "base", "script", "feimage", "mpath"))
_FORBIDDEN = frozenset(("iframe", "object", "embed", "applet", "video", "audio", "source", "track", "frame", "portal"))
_STYLE = re.compile(r"url\(\s*[\"']?(?P<url>[^\"')\s][^\"')]*)|@import\s+[\"']?(?P<imported>[^\"';\s]+)", re.IGNORECASE)
_REACHING = re.compile(
    r"\b(?:fetch|XMLHttpRequest|WebSocket|EventSource|sendBeacon|importScripts)\b\s*\(|\bimport\s*\("
    r"|new\s+(?:Image|Worker)\s*\("
)
_PICTURE = re.compile(r"(?i)data:image/(?:png|jpeg|svg\+xml);base64,[A-Za-z0-9+/=\s%]+")
_ABROAD = re.compile(r"(?i)^\s*(?:[a-z][a-z0-9+.-]*:)?//|^\s*(?:javascript|vbscript|blob|filesystem|ftp):")


class Embedded(NamedTuple):
    """A picture in a page.

    Attributes:
        line: Where it stands.
        mime: What it says that it is.
        data: Its bytes.
    """

    line: int
    mime: str
    data: bytes


class Page(HTMLParser):
    """What a page loads, and what it holds in itself.

    Attributes:
        problems: Line and sentence of everything that must not be there.
        embedded: What it holds as data.
    """

    def __init__(self) -> None:
        """Start empty."""
        super().__init__(convert_charrefs=True)
        self.problems: list[tuple[int, str]] = []
        self.embedded: list[Embedded] = []
        self._open = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at one element."""
        self._open = tag
        if tag in _FORBIDDEN:
            self._problem(f"an element <{tag}> stands here")
        values = {name: value or "" for name, value in attrs}
        if tag == "meta" and values.get("http-equiv", "").lower() == "refresh":
            self._problem("the page sends its reader elsewhere")
        for name, value in values.items():
            short = name.rpartition(":")[2]
            if short in _LOADING or (short == "href" and tag in _LOADED_BY_HREF):
                self._look(value, f"<{tag} {name}>")
            elif short == "href" and re.match(r"(?i)\s*(?:javascript|data|vbscript):", value):
                self._problem(f"<{tag} {name}> is no address")
            elif short == "style" or "url(" in value:
                self._style(value)

    def handle_data(self, data: str) -> None:
        """Look at styles and scripts."""
        if self._open == "style":
            self._style(data)
        elif self._open == "script" and _REACHING.search(data):
            self._problem("a script reaches out of the page")

    def handle_endtag(self, tag: str) -> None:
        """Leave an element."""
        self._open = ""

    def handle_decl(self, decl: str) -> None:
        """A document type may name an entity, and an entity a file."""
        if "[" in decl or "entity" in decl.lower():
            self._problem("the document type declares entities")

    def _style(self, text: str) -> None:
        for match in _STYLE.finditer(text):
            self._look(match["url"] or match["imported"] or "", "a style", imported=bool(match["imported"]))

    def _look(self, url: str, by: str, *, imported: bool = False) -> None:
        if url.strip().lower().startswith("data:"):
            self._data(url.strip(), by)
        elif _ABROAD.match(url) or imported:
            self._problem(f"{by} loads something from elsewhere")
        elif url.strip() and not url.strip().startswith("#") and not url.startswith("HIDDEN"):
            self._problem(f"{by} loads a file that lies beside the page")

    def _data(self, url: str, by: str) -> None:
        head, _, body = url[5:].partition(",")
        mime, *options = head.lower().split(";")
        if mime not in ("image/png", "image/jpeg", "image/svg+xml"):
            self._problem(f"{by} holds data of the type {mime[:40] or 'text'}")
            return
        try:
            plain = "".join(urllib.parse.unquote(body).split())
            data = (
                base64.b64decode(plain, validate=True) if "base64" in options else urllib.parse.unquote_to_bytes(body)
            )
        except (binascii.Error, ValueError):
            self._problem(f"{by} holds data that cannot be decoded")
            return
        self.embedded.append(Embedded(self.getpos()[0], mime, data))

    def _problem(self, what: str) -> None:
        self.problems.append((self.getpos()[0], what))


def read_page(text: str) -> Page:
    """Take a page apart."""
    page = Page()
    page.feed(text)
    page.close()
    return page


def without_data(text: str) -> str:
    """The page without its embedded pictures: they are looked at as pictures, and are no text."""
    return _PICTURE.sub("data:", text)


def outside_data(text: str, change: Callable[[str], str]) -> str:
    """The page with everything but its embedded pictures changed."""
    places = [0, *(place for match in _PICTURE.finditer(text) for place in match.span()), len(text)]
    parts = [text[start:end] for start, end in itertools.pairwise(places)]
    return "".join(part if number % 2 else change(part) for number, part in enumerate(parts))
