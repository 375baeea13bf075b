r"""Where a file lay, whose it was, on which machine: found in text, and taken out so that what was told apart stays so.

Every folder, host, address and name is replaced by a word of its own, numbered in the order of first appearance. So
two groups that were named after two files keep two names, and metrics computed from the scrubbed table are the metrics
of the run. What is replaced is not looked at again: scrubbing twice changes nothing.
"""

from __future__ import annotations

import html
import re
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from heldout.package.content.private import private_words

MARK = "HIDDEN"
_NAME = r"[^\\/\s\"'<>|:;,()\[\]{}`*?]"
_BEFORE = r"(?<![\w.~/%&-])"
# Web addresses are no paths; they are matched first so that nothing in them is taken for one.
_WEB = r"(?P<web>\b(?!file\b)[A-Za-z][A-Za-z0-9+.-]+://[^\s\"'<>]*)"
_FILE = r"(?P<file>\bfile:/+[^\s\"'<>]*)"
_UNC = rf"(?P<unc>(?<![\w\\])\\{{2,4}}(?:\?\\+)?[\w.$-]+(?:\\+{_NAME}+)+\\*)"
_DRIVE = rf"(?P<drive>(?<![A-Za-z0-9])[A-Za-z]:(?:\\+|/){_NAME}+(?:[\\/]+{_NAME}+)*[\\/]*)"
_HOMES = r"(?:(?<![\w.~%-])/+(?:(?:export|mnt/\w)/)?|(?<=\.\./))(?:home|Users)"
_HOME = rf"(?P<home>{_HOMES}/{_NAME}+(?:/{_NAME}*)*|(?<![\w.~/%-])~[A-Za-z_][\w.-]*(?=/))"
_ROOT = rf"(?P<root>{_BEFORE}/(?:root|tmp|etc|var|usr|opt|mnt|media|srv|dev|proc|home|Users|Volumes)\b(?:/{_NAME}*)*)"
_POSIX = rf"(?P<posix>{_BEFORE}/+{_NAME}+(?:/+{_NAME}+)+/*)"
_PATHS = re.compile(f"{_WEB}|{_FILE}|{_UNC}|{_DRIVE}|{_HOME}|{_ROOT}|{_POSIX}")
_MAIL = re.compile(r"(?<![\w.%+-])[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}")
_LOGIN = re.compile(r"(?<![\w.])[A-Za-z_][\w.-]*@[A-Za-z][\w.-]*(?=:[~/])")
_SAID = re.compile(r"(?i)\b(?:hostname|nodename|computer ?name|user ?name)\s*[:=]\s*[\"']?(?P<name>[\w.-]{2,})")
_KEYS = frozenset(
    ("hostname", "host_name", "host", "nodename", "node_name", "computername", "computer_name", "user", "username",
     "user_name", "login", "logname")
)  # fmt: skip
_HOST_KEYS = frozenset(("hostname", "host_name", "host", "nodename", "node_name", "computername", "computer_name"))
_COMMON = frozenset(
    ("localhost", "none", "null", "unknown", "user", "assistant", "system", "tool", "root", "anonymous")
)
_HOLDS_A_HOME = re.compile(r"(?i)^(?:.*[\\/])?(?:home|users|root)(?:[\\/]+[^\\/]*)?[\\/]*$")
# A file's own name stays where it ends as data files do: it says which clip a group is.
_KEPT = re.compile(
    r"(?i)^[\w .+=,@()~-]*\.(?:avi|csv|flac|h5|hdf5|html|ivf|jpe?g|jsonl?|md|mkv|mov|mp4|npy|npz|onnx|parquet|png|py"
    r"|rrd|safetensors|skops|svg|txt|wav|webm|ya?ml|y4m|yuv)$"
)  # fmt: skip
_QUOTED = re.compile(r"[^\s/\"'<>:,]*%(?:2[fF]|5[cC]|40)[^\s/\"'<>:,]*")
_ESCAPED = re.compile(r"(?:[A-Za-z]:)?(?:\\/[^\s\"'<>\\/]*){2,}")
_QUOTE_SAFE = " ()+,=@"  # as in the names of folders of a run
_MENTIONS = re.compile(r"[\\/@~]|%2[fF]|&#|(?i:host|name|user)")


class Span(NamedTuple):
    """Something private in a text.

    Attributes:
        start: Where it begins.
        end: Where it ends.
        kind: ``path``, ``home``, ``host``, ``mail`` or ``name``.
    """

    start: int
    end: int
    kind: str


CODE = {"path": "HO-P031", "home": "HO-P032", "name": "HO-P032", "host": "HO-P033", "mail": "HO-P034"}
SENTENCE = {
    "path": "an absolute path stands here",
    "home": "a home folder stands here",
    "name": "a person's name on a machine stands here",
    "host": "the name of a host stands here",
    "mail": "an e-mail address stands here",
}


class Names:
    """Words that must not be seen: those of this machine, and those that a caller adds.

    Attributes:
        pattern: Finds any of them; None if there are none.
    """

    def __init__(self, hide: Sequence[str] = (), *, of_this_machine: bool = True) -> None:
        """Collect them."""
        words = [*hide]
        if of_this_machine:
            found = [word.decode("utf-8", "replace") for word in private_words()]
            # An account's name is one as a part of a path or before an @; alone it may be any word.
            words += [word for word in found if not word.startswith('"') and word not in ("//", "/")]
        parts = [_whole(word) for word in sorted({word for word in words if word.strip()}, key=lambda w: (-len(w), w))]
        self.pattern = re.compile("|".join(parts)) if parts else None


def find_private(text: str, names: Names, key: str = "") -> Iterator[Span]:
    """Everything private in a text, from left to right for each kind.

    Args:
        text: The text.
        names: Words to look for besides.
        key: The key that the text stands under, if it is a value.
    """
    if key.casefold() in _KEYS and _is_a_name(text):
        yield Span(0, len(text), "host" if key.casefold() in _HOST_KEYS else "name")
    if names.pattern is not None:
        for match in names.pattern.finditer(text):
            yield Span(*match.span(), "name")
    if not _MENTIONS.search(text):
        return
    if _is_one_path(text):
        yield Span(0, len(text), "path")
        return
    for match in _PATHS.finditer(text):
        group = str(match.lastgroup)
        if group != "web":
            yield Span(*match.span(), {"home": "home", "unc": "host"}.get(group, _home_or_path(match[0])))
    for match in _MAIL.finditer(text):
        yield Span(*match.span(), "mail")
    for match in _LOGIN.finditer(text):
        yield Span(*match.span(), "host")
    for match in _SAID.finditer(text):
        if _is_a_name(match["name"]) and not match["name"].startswith(MARK):
            yield Span(*match.span("name"), "host")


def other_readings(text: str) -> list[str]:
    """The text as a browser or a loose reader would read it, where that differs."""
    readings = []
    if re.search(r"%2[fF]|%5[cC]|%40", text):
        readings.append(urllib.parse.unquote(text))
    if "&#" in text or "&sol;" in text or "&bsol;" in text:
        readings.append(html.unescape(text))
    if "\\/" in text or "\\u00" in text:
        plain = re.sub(r"\\u00([0-9a-fA-F]{2})", lambda match: chr(int(match[1], 16)), text)
        readings.append(plain.replace("\\/", "/"))
    return readings


class Scrubber:
    """Takes private things out of texts; one for all files of a package, so that one thing has one word.

    Attributes:
        counts: How often something was replaced, by kind.
    """

    def __init__(self, names: Names) -> None:
        """Start with no word given out."""
        self._names = names
        self._words: dict[tuple[str, str], str] = {}
        self._known: dict[str, str] = {}
        self.counts: dict[str, int] = {}

    def learn(self, texts: Iterable[str]) -> None:
        """Give whole names, such as those of groups, their word: inside longer texts they get the same."""
        for text in texts:
            scrubbed = self.text(text)
            if scrubbed != text:
                self._known[text] = scrubbed

    def text(self, text: str, key: str = "") -> str:
        """The text without anything private."""
        for known, word in self._known.items():
            if known in text:
                text = text.replace(known, word)
        if "%" in text:  # a group's name as the name of a folder
            text = _QUOTED.sub(self._quoted, text)
        if "\\/" in text:  # a path, escaped in a script
            text = _ESCAPED.sub(self._unescaped, text)
        for _ in range(8):  # a replacement can bare a thing that its neighbour hid
            spans = _apart(find_private(text, self._names, key))
            if not spans:
                break
            for span in reversed(spans):
                text = text[: span.start] + self._word(text[span.start : span.end], span.kind) + text[span.end :]
        return text

    def value(self, value: Any, key: str = "") -> Any:
        """A JSON value without anything private in its texts and keys."""
        if isinstance(value, str):
            return self.text(value, key)
        if isinstance(value, Mapping):
            return {self.text(str(name)): self.value(item, str(name)) for name, item in value.items()}
        return [self.value(item, key) for item in value] if isinstance(value, list) else value

    def _quoted(self, match: re.Match[str]) -> str:
        plain = urllib.parse.unquote(match[0])
        scrubbed = self.text(plain) if "%" not in plain else plain
        return match[0] if scrubbed == plain else urllib.parse.quote(scrubbed, safe=_QUOTE_SAFE)

    def _unescaped(self, match: re.Match[str]) -> str:
        plain = match[0].replace("\\/", "/")
        scrubbed = self.text(plain)
        return match[0] if scrubbed == plain else scrubbed

    def _word(self, found: str, kind: str) -> str:
        self.counts[kind] = self.counts.get(kind, 0) + 1
        if kind in ("mail", "name") or "/" not in found.replace("\\", "/"):
            return self._numbered(kind, found)
        folder, _, base = found.replace("\\", "/").rpartition("/")
        told = _MAIL.search(base) or (self._names.pattern is not None and self._names.pattern.search(base))
        if _KEPT.match(base) and not _HOLDS_A_HOME.match(found) and not told:
            return f"{self._numbered('path', folder)}/{base}"
        return self._numbered("path", found.replace("\\", "/").rstrip("/"))

    def _numbered(self, kind: str, found: str) -> str:
        prefix = MARK if kind in ("path", "host") else f"{MARK}-{kind.upper()}"
        same = [word for (each, _), word in self._words.items() if each == prefix]
        return self._words.setdefault((prefix, found), f"{prefix}-{len(same) + 1:04d}")


def _apart(found: Iterator[Span]) -> list[Span]:
    """Spans that do not overlap, from left to right; of two that do, the longer."""
    kept: list[Span] = []
    for span in sorted(found, key=lambda each: (each.start - each.end, each.start)):
        if span.start < span.end and all(span.end <= other.start or span.start >= other.end for other in kept):
            kept.append(span)
    return sorted(kept)


def _is_a_name(text: str) -> bool:
    return bool(re.fullmatch(r"[\w.-]{2,}", text)) and text.casefold() not in _COMMON and not text.startswith(MARK)


def _is_one_path(text: str) -> bool:
    """Whether the whole text is an absolute path, spaces and all."""
    if "\n" in text or len(text) > 1024 or re.search(r"\s(?:[A-Za-z]:)?[\\/]", text):
        return False
    posix = re.match(r"/(?:home|Users|Volumes|mnt|media|root)/\S", text) and " " in text
    return bool(posix or (re.match(r"[A-Za-z]:[\\/]+\S|\\\\[\w.$-]+\\", text) and " " in text))


def _home_or_path(text: str) -> str:
    return "home" if re.search(r"(?i)[\\/](?:home|users)[\\/]|^/root\b", text) else "path"


def _whole(word: str) -> str:
    """The word, where no letter or digit goes on from it."""
    before = r"(?<![A-Za-z0-9])" if word[0].isalnum() else ""
    after = r"(?![A-Za-z0-9])" if word[-1].isalnum() else ""
    return before + re.escape(word) + after
