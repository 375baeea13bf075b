"""A run in several places: each fits every n-th of its units, and one brings them together and judges.

A unit is a pure function of its key, so it does not matter where it was fitted; one that was fitted twice and came out
otherwise is refused. Nothing is scored before all units are together: a shard is no look.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from heldout.documents.names import RUN_FILE, UNIT_FILE
from heldout.errors import InputError, RefusedError
from heldout.evidence import Listener, read_json
from heldout.predict.shards import Shard
from heldout.run.execute import fit_only
from heldout.run.fitting import copy_finished
from heldout.run.layout import RunFolder, known_runs
from heldout.run.prepare import Planned, Prepared
from heldout.run.units.landing import why_not_finished
from heldout.run.units.unit import Unit

SCHEMA = "heldout.run-shard/1"


def shard_of(text: str) -> Shard:
    """The shard that ``0/2`` names: the first of two.

    Raises:
        InputError: If it names none.
    """
    offset, _, stride = text.partition("/")
    if offset.isdecimal() and stride.isdecimal() and int(offset) < int(stride):
        return Shard(int(offset), int(stride))
    raise InputError(f"there is no shard {text!r}", where="--shard", hint="0/2 and 1/2 are the two halves of a run")


def fit_shard(
    prepared: Prepared, shard: Shard, *, workers: int | None = None, listener: Listener | None = None
) -> dict[str, object]:
    """Fit every n-th unit of each contender, and judge nothing.

    Returns:
        What is there now: the run's folder, and how many of all units.

    Raises:
        UnitError: If a unit failed; the others are stored.
    """
    done = fit_only(_part(prepared, shard), workers=workers, listener=listener)
    units = [unit for each in done.contenders for unit in each.units]
    return {
        "schema": SCHEMA,
        "run": str(prepared.folder.path),
        "shard": {"offset": shard.offset, "stride": shard.stride},
        "units": len(units),
        "of": sum(len(each.units) for each in prepared.contenders),
    }


def bring(prepared: Prepared, folders: Sequence[Path]) -> int:
    """Copy what shards fitted into the run at hand.

    Args:
        prepared: The run.
        folders: Run directories of shards, or the folders of runs that they lie in.

    Returns:
        The number of units that were brought.

    Raises:
        InputError: If a folder has no such run, or a unit is in none of them.
        RefusedError: If two of them hold another answer of one unit.
    """
    runs = [found for folder in folders for found in _runs_in(folder, prepared)]
    units = [unit for each in prepared.contenders for unit in each.units]
    brought, missing = 0, []
    for unit in units:
        places = [run for run in runs if _why_not(unit, prepared, run) is None]
        here = why_not_finished(unit) is None
        _refuse_two_answers(unit, [*([unit] if here else []), *(_twin(unit, prepared, run) for run in places)])
        if here:
            continue
        if not places:
            missing.append(unit)
            continue
        copy_finished([unit], lambda each, run=places[0]: _twin(each, prepared, run))  # type: ignore[misc]
        brought += 1
    if missing:
        why = "; ".join(sorted({str(_why_not(missing[0], prepared, run)) for run in runs}))
        raise InputError(
            f"{len(missing)} of {len(units)} units are in none of these folders, such as {missing[0].name} ({why})",
            where=", ".join(map(str, folders)),
            hint="run the shards that are missing, with the same study, corpus, code and packages; what is there stays",
        )
    return brought


def _part(prepared: Prepared, shard: Shard) -> Prepared:
    """The run with every n-th unit of all contenders, counted through them."""
    units = [unit for each in prepared.contenders for unit in each.units]
    taken = {id(unit) for unit in shard.take(units)}

    def part(each: Planned) -> Planned:
        return each._replace(units=tuple(unit for unit in each.units if id(unit) in taken)).again()

    baselines = {name: part(each) for name, each in prepared.baselines.items()}
    return replace(prepared, main=part(prepared.main), baselines=baselines)


def _why_not(unit: Unit, prepared: Prepared, run: RunFolder) -> str | None:
    """Why a unit of another folder cannot be this one; None if it can: its rows are counted here too."""
    twin, corpus = _twin(unit, prepared, run), prepared.corpus
    why = why_not_finished(twin)
    if why is not None:
        return why
    document = read_json(twin.folder / UNIT_FILE)
    test, apart = len(corpus.rows_of(unit.fold.test)), len(corpus.rows_of(unit.fold.apart))
    trained = 0 if "model_sha256" in document else corpus.manifest.rows - apart
    same = (document["n_test"], document["n_train"]) == (test, trained)
    return None if same else "unit.json counts other rows than this corpus has"


def _twin(unit: Unit, prepared: Prepared, run: RunFolder) -> Unit:
    return replace(unit, folder=run.path / unit.folder.relative_to(prepared.folder.path))


def _runs_in(folder: Path, prepared: Prepared) -> Iterator[RunFolder]:
    """The run directory itself, or those of this study and variant below a folder of runs."""
    study, variant = prepared.resolved.name, prepared.resolved.variant
    if (folder / RUN_FILE).is_file():
        found = [RunFolder(folder)]
    else:
        found = [*known_runs(folder / study, variant), *known_runs(folder, variant)]
    if not found:
        raise InputError(
            f"no run of {study} / {variant} is there",
            where=str(folder),
            hint="name the run directory that `heldout run --shard` printed, or the folder of runs around it",
        )
    yield from found


def _refuse_two_answers(unit: Unit, twins: Sequence[Unit]) -> None:
    """One key, one answer: two mean that something else than the key decided."""
    known: dict[str, Mapping[str, Any]] = {}
    for twin in twins:
        known.setdefault(str(twin.folder), read_json(twin.folder / UNIT_FILE)["files"])
    answers = list(known.values())
    if any(answer != answers[0] for answer in answers[1:]):
        raise RefusedError(
            f"{unit.name} was fitted twice, and came out otherwise",
            where=", ".join(sorted(known)),
            hint="name one of these folders only; a fit that differs takes randomness from elsewhere than its seed, or "
            "the processors are of two kinds",
        )
