"""HO-G001: one group that is spelt in two ways, so that a part of it may train while another is held out.

Names are folded in two steps. What no reader can tell apart blocks: the same characters to Unicode (an accent in one
piece or in two), or other characters that are never drawn (a zero-width space, a soft hyphen). What a reader can tell
apart but a writer mixes up is reported: case, blanks, widths, dashes, zeros before a number, and a small table of
letters that look alike (Cyrillic, Greek, ``0`` and ``O``, ``1`` and ``l``).
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable

from heldout.corpus.guards.finding import Finding, GuardResult
from heldout.corpus.model import Corpus

# Drawn as nothing, though not of the category "format": joiners, fillers, variation selectors.
_UNDRAWN = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
_FORMAT = ("Cf", "Cc")
# Capitals are folded before case is: a Cyrillic capital VE looks like B, its small letter does not look like b.
_ALIKE = str.maketrans(
    "АВЕЅІЈКМНОРСТУХΑΒΕΖΗΙΚΜΝΟΡΤΥΧаеѕіјорсухһԁԛԝαικνορυıɑɡ‐‑‒–—―−‘’ʼ`⠀",
    "ABESIJKMHOPCTYXABEZHIKMNOPTYXaesijopcyxhdqwaikvopuiag-------'''' ",
)
_AS_DIGITS = str.maketrans("ol", "01")
_ZEROS = re.compile(r"(?<![\d.])0+(?=\d)")
_WHOLE = re.compile(r"[+-]?\d+\.0+")


def check_names(corpus: Corpus) -> GuardResult:
    """Look for groups whose names are one name to a reader, or may be meant as one."""
    findings = [_finding(names) for names in _alike([group.id for group in corpus.manifest.groups], folded)]
    return GuardResult("HO-G001", tuple(findings))


def drawn(name: str) -> str:
    """The characters of a name that are drawn, in Unicode's composed form."""
    seen = "".join(
        each for each in _UNDRAWN.sub("", name) if each.isspace() or unicodedata.category(each) not in _FORMAT
    )
    return unicodedata.normalize("NFC", seen)


def folded(name: str) -> str:
    """A name without what writers mix up: equal for ``North``, ``north `` and a ``north`` with a Cyrillic ``о``."""
    wide = drawn(unicodedata.normalize("NFKC", re.sub(r"\s+", " ", name)))
    text = unicodedata.normalize("NFKC", wide.translate(_ALIKE).casefold()).translate(_ALIKE)
    text = " ".join("".join(_digit(each) for each in text).split())
    text = text.split(".")[0] if _WHOLE.fullmatch(text) else text
    return _ZEROS.sub("", text.translate(_AS_DIGITS))


def _digit(character: str) -> str:
    """Digits of any script as those of ASCII."""
    return str(unicodedata.decimal(character)) if unicodedata.category(character) == "Nd" else character


def _alike(names: list[str], key: Callable[[str], str]) -> list[list[str]]:
    by_key: dict[str, list[str]] = defaultdict(list)
    for name in names:
        by_key[key(name)].append(name)
    return [found for found in by_key.values() if len(found) > 1]


def _finding(names: list[str]) -> Finding:
    same = bool(_alike(names, drawn))
    how = (
        "are drawn alike: they differ only in characters that nobody sees"
        if same
        else "differ only in blanks, case, zeros before a number or letters that look alike"
    )
    return Finding(
        "HO-G001",
        blocking=same,
        what=f"the groups {', '.join(ascii(name) for name in names)} {how}",
        where=", ".join(ascii(name) for name in names),
        hint="if they are one group, spell it in one way: a part of it trains while the other is held out",
    )
