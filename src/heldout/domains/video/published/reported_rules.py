"""Cross-checks of a folder of ``loso_seed{N}.json``: what one number per file cannot tell.

Each rule is PASS, FAIL or UNKNOWN with a sentence. A FAIL is a contradiction or a forbidden fact, an UNKNOWN is a
value that is not there to be judged; neither can PROMOTE.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from heldout.domains.video.published.reported_files import RECIPE, SCORES, SeedFile
from heldout.evidence import canonical
from heldout.gate import RuleOutcome

TOLERANCE = 1e-6
MIN_FOLDS = 3
Files = Sequence[SeedFile]


def cross_checks(files: Files, asked: Sequence[int], strange: Sequence[str]) -> list[RuleOutcome]:
    """Every rule beyond the published thresholds.

    Args:
        files: The files of the seeds that were asked for and are there.
        asked: The seeds that were asked for.
        strange: Names of further files that look like a seed's.
    """
    return [_presence(files, asked), _foreign(strange), *(check(files) for check in _CHECKS), *_provenance(files)]


def rule(
    identifier: str, bound: str, good: str, *, bad: Iterable[str] = (), unknown: Iterable[str] = ()
) -> RuleOutcome:
    """FAIL if anything is bad, else UNKNOWN if anything is unknown, else PASS."""
    failures, gaps = list(bad), list(unknown)
    found = failures or gaps
    holds = False if failures else None if gaps else True
    return RuleOutcome.of(identifier, holds, float(len(found)), bound, _listed(found) if found else good)


def _presence(files: Files, asked: Sequence[int]) -> RuleOutcome:
    missing = sorted(set(asked) - {file.seed for file in files})
    bad = [f"loso_seed{seed}.json is not there" for seed in missing]
    return rule("seed-files", f"{len(asked)} files", f"the files of all {len(asked)} seeds are there", bad=bad)


def _foreign(strange: Sequence[str]) -> RuleOutcome:
    bad = [
        f"{name} lies beside the seeds that were asked for: stale, or a seed left out on purpose" for name in strange
    ]
    return rule("no-foreign-files", "at_most 0", "no other seed's file lies there", bad=bad)


def _numbers(files: Files) -> RuleOutcome:
    gaps = [problem for file in files for problem in file.problems]
    return rule("finite", "every value is there and finite", "every value is there and finite", unknown=gaps)


def _seed_names(files: Files) -> RuleOutcome:
    bad = [
        f"{file.name} says seed {file.document.get('seed')!r}"
        for file in files
        if file.numbers["seed"] is not None and file.numbers["seed"] != file.seed
    ]
    gaps = [f"{file.name} does not say its seed" for file in files if file.numbers["seed"] is None]
    return rule("seed-names", "seed in the file = seed in its name", "each file is of its seed", bad=bad, unknown=gaps)


def _distinct(files: Files) -> RuleOutcome:
    """Two seeds never agree to the last bit in every fold; a copied file does."""
    first: dict[bytes, str] = {}
    bad = []
    for file in files:
        folds = sorted((fold.held_out or "", fold.scores["plcc"]) for fold in file.folds if fold.scores["plcc"])
        other = first.setdefault(canonical(folds), file.name)
        if folds and other != file.name:
            bad.append(f"{other} and {file.name} hold the same folds to the last digit")
    return rule("distinct-seeds", "no two files with equal folds", "no two seeds have the same folds", bad=bad)


def _fold_counts(files: Files) -> RuleOutcome:
    bad = []
    for file in files:
        names = [fold.held_out for fold in file.folds if fold.held_out is not None]
        stated = file.numbers["n_folds"]
        if stated is not None and stated != len(file.folds):
            bad.append(f"{file.name} says n_folds {stated:.0f} and holds {len(file.folds)}")
        bad += [f"{file.name} holds out {name!r} twice" for name in sorted({n for n in names if names.count(n) > 1})]
    gaps = [f"{file.name} has no n_folds" for file in files if file.numbers["n_folds"] is None]
    return rule(
        "fold-counts", "n_folds = number of folds", "each file has as many folds as it says", bad=bad, unknown=gaps
    )


def _same_folds(files: Files) -> RuleOutcome:
    bad = []
    wanted = set(files[0].by_source)
    for file in files[1:]:
        differing = sorted(wanted ^ set(file.by_source))
        if differing:
            bad.append(f"{files[0].name} and {file.name} differ in the held-out sources {', '.join(differing[:3])}")
    return rule("same-folds", "the same sources in every seed", "every seed holds out the same sources", bad=bad)


def _enough_folds(files: Files) -> RuleOutcome:
    bad = [f"{file.name} has {len(file.folds)} folds" for file in files if len(file.folds) < MIN_FOLDS]
    return rule("enough-folds", f"at_least {MIN_FOLDS}", "there are enough folds to judge", bad=bad)


_STATISTICS: Mapping[str, tuple[str, Callable[[Sequence[float]], float]]] = {
    "mean_plcc": ("plcc", statistics.fmean),
    "std_plcc": ("plcc", lambda values: statistics.stdev(values) if len(values) > 1 else math.nan),
    "min_plcc": ("plcc", min),
    "max_plcc": ("plcc", max),
    "mean_srocc": ("srocc", statistics.fmean),
    "mean_rmse": ("rmse", statistics.fmean),
}


def _fold_means(files: Files) -> RuleOutcome:
    """A mean that its own folds do not give was typed in, or belongs to another run."""
    bad, gaps = [], []
    for file in files:
        for key, (score, statistic) in _STATISTICS.items():
            stated, values = file.numbers[key], [fold.scores[score] for fold in file.folds]
            usable = [value for value in values if value is not None]
            if stated is None or not usable or len(usable) < len(values):
                gaps.append(f"{file.name}: {key} cannot be recomputed from the folds")
                continue
            again = statistic(usable)
            if not abs(stated - again) <= TOLERANCE:
                bad.append(f"{file.name}: {key} is {stated:.6f}, its folds give {again:.6f}")
    return rule(
        "fold-means", f"within {TOLERANCE:g}", "mean, std, min and max follow from the folds", bad=bad, unknown=gaps
    )


def _row_counts(files: Files) -> RuleOutcome:
    """Leaving one source out of a corpus splits the same rows in every fold, and holds out each row once."""
    bad, gaps = [], []
    totals: dict[int, str] = {}
    sizes: dict[str, int] = {}
    for file in files:
        counts = [(fold.held_out, fold.n_train, fold.n_val) for fold in file.folds]
        held_out = 0
        for index, (name, train, val) in enumerate(counts):
            if train is None or val is None:
                gaps.append(f"{file.name}: folds[{index}] does not say its rows")
                continue
            held_out += val
            totals.setdefault(train + val, f"{file.name}, {name}")
            if train < 1 or val < 2:
                bad.append(f"{file.name}, {name}: {train} training and {val} held-out rows")
            if name is not None and sizes.setdefault(name, val) != val:
                bad.append(f"{file.name}, {name}: {val} held-out rows, {sizes[name]} in another seed")
        if len(totals) == 1 and not gaps and held_out != next(iter(totals)):
            bad.append(f"{file.name}: the folds hold out {held_out} rows of {next(iter(totals))}")
    if len(totals) > 1:
        bad.append("n_train + n_val differs: " + ", ".join(f"{rows} ({at})" for rows, at in sorted(totals.items())))
    return rule("row-counts", "one corpus, each row held out once", "the rows add up", bad=bad, unknown=gaps)


def _one_corpus(files: Files) -> RuleOutcome:
    paths = _by_value(files, lambda file: file.document.get("corpus"))
    bad = [f"the seeds were trained on different corpora: {_differing(paths)}"] if len(paths) > 1 else []
    return rule("one-corpus", "the same path in every seed", "every seed names the same corpus", bad=bad)


def _one_recipe(files: Files) -> RuleOutcome:
    bad = []
    for key in (*RECIPE, "recipe", "codec"):
        values = _by_value(files, lambda file, key=key: file.document.get(key))  # type: ignore[misc]
        if len(values) > 1:
            bad.append(f"{key} differs: {_differing(values)}")
    for file in files:
        bad += [f"{file.name}: {key} is {file.document[key]}" for key in RECIPE if _impossible(file, key)]
    return rule("one-recipe", "the same in every seed", "every seed was trained by the same recipe", bad=bad)


def _impossible(file: SeedFile, key: str) -> bool:
    value, may_be_zero = file.numbers[key], key in ("weight_decay", "num_codecs")
    return value is not None and (value < 0 or (value == 0 and not may_be_zero))


def dry_run_of(file: SeedFile) -> str | None:
    """Why a file is of a dry run, which can never PROMOTE; None if it is not."""
    note, epochs = file.document.get("note"), file.numbers["epochs"]
    if isinstance(note, str) and ("dry" in note.lower() or "smoke" in note.lower()):
        return f"{file.name} carries the note {note!r}"
    if file.document.get("smoke") or file.provenance("args", "dry_run"):
        return f"{file.name} is of a dry run by its own words"
    return f"{file.name} was trained for {epochs:g} epochs" if epochs is not None and epochs < 2 else None


def _not_dry_run(files: Files) -> RuleOutcome:
    bad = [reason for file in files if (reason := dry_run_of(file)) is not None]
    return rule("not-dry-run", "no note, at_least 2 epochs", "no file is of a dry run", bad=bad)


def _in_range(files: Files) -> RuleOutcome:
    bad = []
    for file in files:
        held = [(f"folds[{i}].{key}", fold.scores[key]) for i, fold in enumerate(file.folds) for key in SCORES]
        for place, value in [*held, *((key, file.numbers[key]) for key in _STATISTICS)]:
            low = 0.0 if place.endswith("rmse") or place == "std_plcc" else -1.0
            high = math.inf if place.endswith("rmse") else 1.0
            if value is not None and not low <= value <= high:
                bad.append(f"{file.name}: {place} is {value:g}")
    return rule("in-range", "correlations in [-1, 1], errors at_least 0", "every value is possible", bad=bad)


_CHECKS: tuple[Callable[[Files], RuleOutcome], ...] = (
    _numbers, _seed_names, _distinct, _fold_counts, _same_folds, _enough_folds, _fold_means, _row_counts,
    _one_corpus, _one_recipe, _not_dry_run, _in_range,
)  # fmt: skip


def _provenance(files: Files) -> list[RuleOutcome]:
    """Rules over ``run_provenance``, which only later versions write; no rule where no file has it."""
    having = [file for file in files if file.document.get("run_provenance") is not None]
    if not having:
        return []
    without = [file.name for file in files if file not in having]
    mixed = [f"{name} has no run_provenance and others have: files of two versions" for name in without]
    places = {
        "corpus sha256": ("inputs", "corpus", "sha256"),
        "trainer sha256": ("entrypoint", "sha256"),
        "code revision": ("code", "revision"),
        "code sha256": ("code", "sha256"),
    }
    gaps = []
    for label, path in places.items():
        values = _by_value(having, lambda file, path=path: file.provenance(*path))  # type: ignore[misc]
        if len(values) > 1:
            mixed.append(f"the {label} differs: {_differing(values)}")
    if any(not isinstance(file.provenance("inputs", "corpus", "sha256"), str) for file in having):
        gaps.append("run_provenance does not name the corpus by sha256")
    return [
        rule("one-provenance", "the same corpus bytes and code", "one corpus and one code", bad=mixed, unknown=gaps)
    ]


def _by_value(files: Files, value_of: Callable[[SeedFile], Any]) -> dict[str, str]:
    """Distinct values, each with the first file that has it."""
    found: dict[str, str] = {}
    for file in files:
        found.setdefault(repr(value_of(file)), file.name)
    return found


def _differing(values: Mapping[str, str]) -> str:
    return ", ".join(f"{value} in {name}" for value, name in values.items())


def _listed(sentences: Sequence[str], most: int = 3) -> str:
    more = len(sentences) - most
    return "; ".join(sentences[:most]) + (f"; and {more} more" if more > 0 else "")
