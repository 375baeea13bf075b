"""A first study as text: every block with what it was chosen by."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from heldout.corpus import Corpus
from heldout.corpus.kinds import Column, Kind
from heldout.corpus.parts import name_of_one
from heldout.run.begin.choices import Choices, gains_for

SCHEMA_FILE = "study.schema.json"


class Fit(NamedTuple):
    """How the first model is fitted: lines of the study, and whether a seed changes anything."""

    lines: tuple[str, ...]
    seeded: bool
    said: str
    beside: bool = False  # code of the user's own, which gets the table as it is


def study_text(table: Path, out: Path, chosen: Choices, corpus: Corpus, split: list[str], why: str, fit: Fit) -> str:
    """The study.

    Args:
        table: The table.
        out: Where the study is written.
        chosen: The `corpus:` block.
        corpus: The table as that block reads it.
        split: Lines of the `split:` block.
        why: Why it is so.
        fit: How the first model is fitted.
    """
    manifest, one = corpus.manifest, name_of_one(table)
    seeds = "[0, 1, 2]" if fit.seeded else "[0]   # nothing is drawn in this estimator: every seed is one model"
    rules = "\n".join(
        f"    - {{id: {name}, metric: {quoted(metric)}, above: 0, against: trivial}}"
        for name, metric in gains_for(corpus).items()
    )
    return f"""\
# yaml-language-server: $schema={SCHEMA_FILE}
# A study of {one}: {manifest.rows} rows, {len(manifest.groups)} groups, {len(manifest.features)} features.
# Check it with `heldout run {out.name} --dry-run`, run it with `heldout run {out.name}`.
study: {_slug(Path(one).stem)}

corpus:
{_corpus_lines(table, out, chosen, corpus, fit)}

# {why[0].upper() + why[1:]}.
split:
{chr(10).join("  " + line for line in split)}

{chr(10).join(fit.lines)}

seeds: {seeds}

# PROMOTE means that every rule passes: here, that the model is better than whoever knows nothing (the mean, the
# majority, chance) by more than luck. Write down how good it has to be before you look at results: the first run
# registers the rules, and every run is a look, `--set` included. To change a rule afterwards, give the reason with
# `heldout gate amend {out.name} --reason "..."`.
gate:
  min_groups: 3
  rules:
    # The lower end of the interval of what is gained, over groups.
{rules}
"""


def _corpus_lines(table: Path, out: Path, chosen: Choices, corpus: Corpus, fit: Fit) -> str:
    options, manifest = chosen.options, corpus.manifest
    lines = [
        "reader: table",
        f"path: {quoted(_relative(table, out))}",
        f"group: {quoted(options.group)}   # never straddles training and test",
        f"target: {_names(options.targets)}",
        *(
            [f"weight: {quoted(options.weight)}   # how much a row counts, in fits and metrics"]
            if options.weight
            else []
        ),
        *([f"id: {quoted(options.id)}"] if options.id else []),
        *([f"time: {quoted(options.time)}"] if options.time else []),
        f"task: {manifest.task}",
        *([f"separator: {json.dumps(options.separator)}"] if options.separator else []),
        *(['decimal: ","'] if options.decimal == "," else []),
        *(
            [f"missing: {json.dumps(options.missing, ensure_ascii=False)}   # words that stand for a gap"]
            if options.missing
            else []
        ),
    ]
    if options.ignore:
        lines.append("ignore:")
        lines += [f"  - {quoted(name)}{_note(chosen.reasons.get(name))}" for name in options.ignore]
    if options.columns:
        lines.append("columns:")
        lines += [
            f"  {quoted(name)}: {_kind(kind)}{_note(chosen.reasons.get(name))}"
            for name, kind in options.columns.items()
        ]
    lines += ["# The features; a column that would not be known at prediction time does not belong here.", "features:"]
    lines += [
        f"  - {quoted(name)}{_note(None if fit.beside else _feature_note(name, corpus))}"
        for name in corpus.features.columns
    ]
    return "\n".join(f"  {line}" for line in lines)


def _feature_note(name: str, corpus: Corpus) -> str | None:
    dtype, gaps = corpus.features.schema[name], corpus.missing.get(name)
    words = [] if dtype.is_numeric() else ["one column a level"]
    if gaps:
        words.append(f"{gaps} values are missing" + ("" if dtype.is_numeric() else ", a level of its own"))
    return ", ".join(words) or None


def _kind(kind: Kind | Column) -> str:
    """A kind as YAML: a word, or a mapping in one line."""
    return kind if isinstance(kind, str) else json.dumps(kind.model_dump(exclude_defaults=True), ensure_ascii=False)


def _names(columns: Sequence[str]) -> str:
    """One column, or several in a list."""
    names = [quoted(each) for each in columns]
    return names[0] if len(names) == 1 else f"[{', '.join(names)}]"


def _note(reason: str | None) -> str:
    return f"   # {' '.join(reason.split())}" if reason else ""


def _relative(table: Path, out: Path) -> str:
    """The table's path as seen from the study's folder."""
    resolved, home = table.resolve(), out.resolve().parent
    return str(resolved.relative_to(home)) if resolved.is_relative_to(home) else str(resolved)


def quoted(text: str) -> str:
    """A YAML scalar: plain where that is safe, else double-quoted (JSON strings are YAML)."""
    safe = text.replace("_", "").replace("-", "").replace(".", "").replace("/", "").isalnum() and text[0].isalpha()
    return text if safe and text.lower() not in {"true", "false", "null"} else json.dumps(text, ensure_ascii=False)


def _slug(text: str) -> str:
    slug = "".join(char if char.isascii() and char.isalnum() else "-" for char in text.lower()).strip("-")
    return slug[:64] or "study"
