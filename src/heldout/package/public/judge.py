"""The one judgement of a file to be published, by name, role and content; packager and audit share it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from heldout.errors import CorpusError
from heldout.evidence import open_plain
from heldout.package.content.encoded import find_bulk, find_encoded
from heldout.package.content.findings import Finding
from heldout.package.content.markup import read_page, without_data
from heldout.package.content.pictures import problems
from heldout.package.content.privacy import CODE, SENTENCE, Names, find_private, other_readings
from heldout.package.content.private import find_private as find_known
from heldout.package.content.secrets import find_secrets, is_secret_value
from heldout.package.content.sniff import look_inside, sniff
from heldout.package.content.views import BrokenTypeError, View, formulas, parsed, views
from heldout.package.public.roles import (
    PACKAGE_FILE,
    PICTURE_TYPES,
    TABLE_TYPE,
    TEXT_TYPES,
    Publication,
    Role,
    content_type,
    known_role,
)
from heldout.package.public.tables import lines_of

_PICTURES = {"PNG": "png", "JPEG": "jpeg"}
_BULKY = frozenset(("predictions", "rankings", "confusion"))
_IDS = frozenset(("id", "sample_id", "sample", "query_id"))
_MOST_OF_A_KIND = 20
_MOST_READ = 1 << 28
_PACKAGE = Role("package", (PACKAGE_FILE,), ("json",))


@dataclass(frozen=True)
class Judge:
    """Judges files against what may be published.

    Attributes:
        publication: What may.
        names: Words that must not be seen.
    """

    publication: Publication
    names: Names

    def findings(self, files: Mapping[str, Path | bytes]) -> list[Finding]:
        """Everything wrong with files, sorted; each place once."""
        found: set[Finding] = set()
        total = 0
        for name, source in sorted(files.items()):
            size = len(source) if isinstance(source, bytes) else source.stat().st_size
            total += size
            found.update(self.file(name, source if isinstance(source, bytes) else _read(source), size))
        most = self.publication
        if total > most.max_bytes:
            found.add(Finding("", "HO-P006", "", f"all files have {total} bytes, the bound is {most.max_bytes}"))
        if len(files) > most.max_files:
            found.add(Finding("", "HO-P006", "", f"there are {len(files)} files, the bound is {most.max_files}"))
        found.update(self._missing(files))
        return sorted(found)

    def file(self, name: str, data: bytes, size: int | None = None) -> Iterator[Finding]:
        """Everything wrong with one file; of a larger one than its data, only what its beginning tells."""
        role = _PACKAGE if name == PACKAGE_FILE else self.publication.role_of(name)
        kind = content_type(name)
        yield from self._role(name, role, kind)
        most = (role and role.max_bytes) or self.publication.max_file_bytes
        large = (size or len(data)) > most
        if large:
            yield Finding(name, "HO-P006", "", f"it has {size or len(data)} bytes, the bound is {most}")
        yield from self._words(View("its name", "", name), name)
        found = sniff(data)
        if found is not None and found.family == "picture" and _PICTURES[found.name] == kind:
            yield from (Finding(name, "HO-P027", "", each) for each in problems(data))
        elif kind == TABLE_TYPE and role is not None and kind in role.types:
            yield from () if large else self._table(name, data, role)
        elif found is not None:
            yield from look_inside(data, name, found)
        elif large:
            return  # it is out anyway; to read all of it would take minutes
        elif kind in PICTURE_TYPES:
            yield Finding(name, "HO-P012", "", "this is text, no picture")
        else:
            yield from _few(self._text(name, data, kind if kind in TEXT_TYPES else "txt", role))

    def _table(self, name: str, data: bytes, role: Role) -> Iterator[Finding]:
        """What stands in a table of predictions, judged as the same in JSON Lines."""
        try:
            text = lines_of(data)
        except CorpusError as error:
            yield Finding(name, "HO-P012", "", error.what)
        else:
            yield from _few(self._text(name, text, "jsonl", role))

    def _role(self, name: str, role: Role | None, kind: str) -> Iterator[Finding]:
        if role is None:
            other = known_role(name)
            if other is not None and self.publication.contract:
                what = f"its role is {other.name!r}, which the contract {self.publication.contract!r} does not publish"
                yield Finding(name, "HO-P011", "", what)
            else:
                yield Finding(name, "HO-P010", "", "no role is declared for a file of this name")
        elif kind not in role.types:
            what = f"a file of the role {role.name!r} is {' or '.join(role.types)}, not {kind or 'without a suffix'}"
            yield Finding(name, "HO-P012", "", what)

    def _text(self, name: str, data: bytes, kind: str, role: Role | None) -> Iterator[Finding]:
        text = data.decode("utf-8")
        page = kind in ("html", "svg")
        shown = without_data(text) if page else text
        told = False
        for finding in self._values(name, shown.encode() if page else data, kind, role):
            told = told or finding.code in CODE.values()
            yield finding
        known = None if told else find_known(shown.encode())  # the kit's own look, over the file as it stands
        if known is not None:
            what = "mail" if b"@" in known else "home"
            yield Finding(name, CODE[what], _line(shown, shown.find(known.decode())), SENTENCE[what])
        yield from secrets(name, data, kind)
        yield from self._encoded(name, shown, page)
        if page:
            yield from self._page(name, text)

    def _values(self, name: str, data: bytes, kind: str, role: Role | None) -> Iterator[Finding]:
        try:
            for view in _unique(views(data, kind)):
                yield from self._words(view, name)
            yield from self._shape(name, data, kind, role)
        except BrokenTypeError as error:
            yield Finding(name, "HO-P012", "", f"it is not strict {kind.upper()}: {error}")
            for view in _unique(views(data, "txt")):
                yield from self._words(view, name)

    def _words(self, view: View, name: str) -> Iterator[Finding]:
        """What one value tells."""
        for reading in (view.text, *other_readings(view.text)):
            for span in find_private(reading, self.names, view.key):
                yield Finding(name, CODE[span.kind], view.place, SENTENCE[span.kind])

    def _shape(self, name: str, data: bytes, kind: str, role: Role | None) -> Iterator[Finding]:
        """What a role's documents are: strict, no bulk of numbers, rows with ids, no formulas."""
        predictions = role is not None and role.name == "predictions"
        if kind == "csv":
            yield from (
                Finding(name, "HO-P029", place, "a spreadsheet would run this cell") for place in formulas(data)
            )
            header = data.split(b"\n", 1)[0].decode("utf-8").strip().split(",")
            if predictions and not _IDS.intersection(each.strip('"') for each in header):
                yield Finding(name, "HO-P012", "line 1", "predictions have no column of ids")
        for line, document in parsed(data, kind):
            if predictions and not (isinstance(document, dict) and _IDS.intersection(document)):
                yield Finding(name, "HO-P012", line, "a prediction has no id")
            for place, count, parameter in find_bulk(document):
                where = f"{line}: {place}" if line else place
                if parameter:
                    yield Finding(name, "HO-P020", where, f"{count} numbers under the name of a model's parameter")
                elif role is None or role.name not in _BULKY:
                    yield Finding(name, "HO-P026", where, f"{count} numbers stand here")

    def _encoded(self, name: str, text: str, page: bool) -> Iterator[Finding]:
        for hidden in find_encoded(text, markup=page):
            place = _line(text, hidden.place)
            inside = sniff(hidden.data) if hidden.data else None
            if inside is not None and inside.name != "bytes that are no text in UTF-8":
                yield from look_inside(hidden.data or b"", f"{name}!{place}", inside)
            yield Finding(name, "HO-P025", place, f"{hidden.length} characters of an encoding stand here")

    def _page(self, name: str, text: str) -> Iterator[Finding]:
        page = read_page(text)
        for line, what in page.problems:
            yield Finding(name, "HO-P028", f"line {line}", what)
        for number, each in enumerate(page.embedded, start=1):
            suffix = {"image/png": "png", "image/jpeg": "jpeg"}.get(each.mime, "svg")
            inner, found = f"{name}!{number}.{suffix}", sniff(each.data)
            if found is not None and found.family == "picture" and _PICTURES[found.name] == suffix:
                yield from (Finding(inner, "HO-P027", f"line {each.line}", what) for what in problems(each.data))
            elif found is not None:
                yield from look_inside(each.data, inner, found)
            elif suffix == "svg" and len(each.data) < len(text):
                yield from self._text(inner, each.data, "svg", None)
            else:
                yield Finding(inner, "HO-P028", f"line {each.line}", "this is not what it says that it is")

    def _missing(self, files: Mapping[str, Path | bytes]) -> Iterator[Finding]:
        there = {name.rpartition("/")[2] for name in files}
        for required in self.publication.required:
            if required not in there:
                yield Finding(required, "HO-P013", "", f"the contract {self.publication.contract!r} requires this file")


def secrets(name: str, data: bytes, kind: str) -> Iterator[Finding]:
    """Secrets in a text. They are looked for before names are taken out: half of a secret is a leak that hides."""
    text = data.decode("utf-8")
    shown = without_data(text) if kind in ("html", "svg") else text
    for secret in find_secrets(shown):
        yield Finding(name, "HO-P030", _line(shown, secret.place), f"a secret stands here: {secret.kind}")
    if kind not in ("json", "jsonl", "yaml"):
        return
    try:
        for view in _unique(views(data, kind)):
            if is_secret_value(view.key, view.text):
                yield Finding(name, "HO-P030", view.place, "a secret stands here: a value that is called one")
            elif "\\" in repr(view.text):  # a token may be escaped in the file
                for secret in find_secrets(view.text):
                    yield Finding(name, "HO-P030", view.place, f"a secret stands here: {secret.kind}")
    except BrokenTypeError:
        return  # named by whoever judges the type


def _read(path: Path) -> bytes:
    with open_plain(path) as stream:
        return stream.read(_MOST_READ)


def _unique(found: Iterator[View]) -> Iterator[View]:
    """Each pair of key and text once, at its first place: tables say the same thing in thousands of rows."""
    seen: set[tuple[str, str]] = set()
    for view in found:
        if (view.key, view.text) not in seen:
            seen.add((view.key, view.text))
            yield view


def _few(found: Iterator[Finding]) -> Iterator[Finding]:
    """Of each code, the first places: a table of ten thousand paths is one thing to mend."""
    counts: dict[str, int] = {}
    for finding in found:
        counts[finding.code] = counts.get(finding.code, 0) + 1
        if counts[finding.code] <= _MOST_OF_A_KIND:
            yield finding


def _line(text: str, place: int) -> str:
    return f"line {text.count(chr(10), 0, max(place, 0)) + 1}"
