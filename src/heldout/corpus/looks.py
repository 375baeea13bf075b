"""What a column looks like that it is not read as: numbers in a text, dates, an index, texts that stand once.

Nothing is changed by a look. `heldout init` writes down what follows from it; the guard HO-G016 names what a study
leaves open, with the line that settles it.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from heldout.corpus.kinds import Kind, temporal_kind, unit_of

_NUMBER = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"
_THOUSANDS = r"^\s*[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d+)?\s*$"
_THIRDS = r"^\s*[+-]?\d{1,3},\d{3}\s*$"
_FRACTION = r"^\s*[+-]?\d+,\d+\s*$"
_FORMS: dict[Kind, str] = {
    "date": r"^\d{4}-\d{2}-\d{2}$",
    "datetime": r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?$",
    "time": r"^\d{2}:\d{2}:\d{2}$",
    "duration": r"^-?(\d+ days?,? )?\d+:\d{2}(:\d{2}(\.\d+)?)?$",
}
GAPS = (
    "", "na", "n/a", "#n/a", "nan", "-nan", "null", "none", "nil", "-", "--", "?", ".", "<na>", "nat", "missing",
    "unknown", "inf", "-inf", "infinity",
)  # fmt: skip
_WORDS_AMONG_NUMBERS = 0.2  # of the rows, at most, or it is a text
_ONCE, _ROWS = 0.9, 20


@dataclass(frozen=True)
class Look:
    """What a column looks like.

    Attributes:
        what: In words, after its name.
        mend: What to write in the study, or to change in the table.
        kind: What to declare it as; None for nothing.
        missing: Words that stand for a gap.
        comma: Whether its numbers have a comma before their fractions.
        thirds: Whether each has a comma before its last three digits: a fraction, or a thousand.
        ignore: Whether it says nothing of new rows.
    """

    what: str
    mend: str
    kind: Kind | None = None
    missing: tuple[str, ...] = ()
    comma: bool = False
    thirds: bool = False
    ignore: bool = False


def look_at(column: pl.Series) -> Look | None:
    """What a column looks like; None where it is what it is read as."""
    name = column.name
    if name.strip() == "" or name == "Unnamed: 0":
        mend = f"name {name!r} in `corpus.ignore`, or write the table without its index"
        return Look("has no name, as an index that was written with the table has none", mend, ignore=True)
    temporal = temporal_kind(column.dtype)
    if temporal is not None:
        return _moments(name, temporal)
    values = column.drop_nulls()
    if column.dtype != pl.String or not len(values):
        return None
    return _numbers(name, values) or _text_moments(name, values) or _once(name, values)


def _moments(name: str, kind: Kind) -> Look:
    return Look(
        f"holds {'moments' if kind == 'datetime' else kind + 's'}, and each of them is taken for a level",
        f"write `columns: {{{name}: {kind}}}` in `corpus:`: it is then a number, in {unit_of(kind)}; or "
        f"`columns: {{{name}: category}}`, if each is a level",
        kind=kind,
    )


def _text_moments(name: str, values: pl.Series) -> Look | None:
    kinds = (kind for kind, form in _FORMS.items() if values.str.contains(form).all())
    kind = next(kinds, None)
    if kind == "time" and not values.str.to_time("%H:%M:%S", strict=False).is_not_null().all():
        kind = "duration"
    return None if kind is None else _moments(name, kind)


def _numbers(name: str, values: pl.Series) -> Look | None:
    """Numbers that a comma or a few words make a text."""
    plain, fractions, thousands = (values.str.contains(form) for form in (_NUMBER, _FRACTION, _THOUSANDS))
    words, commas = values.filter(~(plain | fractions | thousands)), values.filter(~plain & (fractions | thousands))
    if len(words) > _WORDS_AMONG_NUMBERS * len(values) or not (len(words) or len(commas)):
        return None
    comma = len(commas) > 0 and not commas.str.contains(_THOUSANDS).all()
    shown = sorted(words.unique().to_list())
    listed = ", ".join(shown[:5]) + (", ..." if len(shown) > 5 else "")
    what, mend = [], []
    if len(commas):
        what.append(f"numbers with {'a comma before the fraction' if comma else 'commas'}, such as {commas[0]!r}")
        other = "if a comma stands before the fraction; else write them without commas between thousands"
        line = f'write `decimal: ","` in `corpus:`, or `columns: {{{name}: {{kind: number, decimal: ","}}}}`'
        mend.append(line + ("" if comma else f", {other}"))
    if shown:
        what.append(f"{'' if what else 'numbers, and '}words in {len(words)} of {len(values)} rows ({listed})")
        mend.append(
            f"write `missing: [{listed}]` in `corpus:`, if they stand for gaps, or correct them; `columns: {{{name}: "
            "category}` keeps them as levels"
        )
    gaps = all(word.strip().lower() in GAPS for word in shown)
    return Look(
        f"holds {' and '.join(what)}, and each is taken for a level",
        "; ".join(mend),
        missing=tuple(shown) if gaps else (),
        comma=comma,
        thirds=len(commas) > 0 and bool(values.str.contains(_THIRDS).all()),
    )


def _once(name: str, values: pl.Series) -> Look | None:
    levels = values.n_unique()
    if len(values) < _ROWS or levels < _ONCE * len(values):
        return None
    return Look(
        f"has {levels:,} texts in {len(values):,} rows: hardly one of them stands in a new row",
        f"name {name!r} in `corpus.ignore`, or as `corpus.id` if it names the rows",
        ignore=True,
    )
