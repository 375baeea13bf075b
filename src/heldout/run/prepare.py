"""Everything that is known before compute is spent: corpus, split, findings, and which units are to be fitted."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from heldout.backbone.beside.base import BesideBackbone
from heldout.backbone.code import Code, CodeBlock, code_of, sha256_of, user_code_sha256
from heldout.backbone.environment import difference, environment
from heldout.backbone.given import GivenBackbone
from heldout.corpus import Corpus
from heldout.corpus.guards import Finding
from heldout.corpus.reader import KnownAs
from heldout.documents.names import LOCK_FILE, MANIFEST_FILE, RUN_FILE
from heldout.engine import one_thread
from heldout.errors import CorpusError, HeldoutError, StudyError
from heldout.evidence import read_json
from heldout.ledger.books import Books
from heldout.ledger.declaration import axis_of, rules_of, with_code
from heldout.ledger.history import Groups
from heldout.ledger.policy import Declared
from heldout.ledger.targets import group_targets
from heldout.ledger.trials import Identity, older_split
from heldout.run.apart.foreign import Apart, ReachedError, is_foreign
from heldout.run.fitting import Plan, plan_units
from heldout.run.layout import RunFolder, known_runs, new_run, refuse_foreign, run_key
from heldout.run.resolve import Resolved
from heldout.run.rules import check_gate, check_weights
from heldout.run.units.contender import Contender
from heldout.run.units.unit import Unit, cached_corpus, make_unit
from heldout.split import Split, check_split, split_corpus
from heldout.study import placing
from heldout.study.yaml import KeyPath


class Earlier(NamedTuple):
    """A finished run, and what was another version there."""

    folder: RunFolder
    difference: str

    def twin(self, unit: Unit, mine: RunFolder) -> Unit:
        """A unit of the new run where this one has it."""
        return replace(unit, folder=self.folder.path / unit.folder.relative_to(mine.path))


class Planned(NamedTuple):
    """A contender with its units, and which of them are to be fitted."""

    contender: Contender
    plan: Plan
    units: tuple[Unit, ...]

    def again(self) -> Planned:
        """The plan as of now."""
        return self._replace(plan=plan_units(self.units))


@dataclass(frozen=True)
class Prepared:
    """Everything that is known before compute is spent.

    Attributes:
        resolved: The study with one variant applied.
        corpus: The samples.
        split: The folds.
        findings: Of the guards.
        folder: The run directory, whether it is there or not.
        main: The variant itself.
        baselines: By id, each with what is to be fitted of it.
        packages: Versions of everything that the contenders are fitted with, besides our own sources.
        earlier: The finished run of the same variant, corpus and code, where its packages are others.
        codes: What fits each contender, by baseline id; under "", as in documents, what fits the variant itself.
        looked: The held-out groups as the ledger names them, by their targets.
        reached: Whether foreign code asked for the corpus while it was tried out, so that nothing can be fitted.
        gate: What the checkpoint gate of a model from elsewhere found; None where there is none.
        older_split: Digest by which earlier looks of this variant name the split, if they name it by another schema.
    """

    resolved: Resolved
    corpus: Corpus
    split: Split
    findings: tuple[Finding, ...]
    folder: RunFolder
    main: Planned
    baselines: Mapping[str, Planned]
    packages: Mapping[str, str] = field(default_factory=dict)
    earlier: Earlier | None = None
    codes: Mapping[str, Code] = field(default_factory=dict)
    looked: Mapping[str, Any] = field(default_factory=dict)
    reached: bool = False
    gate: tuple[Finding, ...] | None = None
    older_split: str | None = None

    @property
    def stopped(self) -> bool:
        """Whether no unit can be fitted or asked, and why is known: the verdict is HOLD without a look."""
        return self.reached or bool(self.gate)

    @property
    def contenders(self) -> tuple[Planned, ...]:
        """The variant itself, then its baselines."""
        return (self.main, *self.baselines.values())

    @property
    def fit_code(self) -> dict[str, CodeBlock]:
        """The code that fits each contender, as it stands in documents."""
        return {name: code.to_json() for name, code in self.codes.items()}

    @property
    def user_code(self) -> dict[str, str]:
        """Sha256 of each module of the user's own that fits any contender."""
        return {name: sha256 for code in self.codes.values() for name, sha256 in code.user.items()}

    def summary(self) -> dict[str, object]:
        """The plan as a document, for ``--dry-run``."""
        units = {
            each.contender.id: {"reused": len(each.plan.reused), "to_fit": len(each.plan.pending)}
            for each in self.contenders
        }
        return {
            "schema": "heldout.plan/1",
            "run": str(self.folder.path),
            "corpus_sha256": self.corpus.manifest.sha256,
            "variant_sha256": self.resolved.sha256,
            "rows": self.corpus.manifest.rows,
            "folds": [fold.id for fold in self.split.folds],
            "units": units,
            "findings": [finding.to_json() for finding in self.findings],
            "smoke": self.resolved.smoke,
        }

    @functools.cached_property
    def declared(self) -> Declared:
        """What the run is judged by, and on which groups."""
        rules = with_code(rules_of(self.resolved.config), self.fit_code)
        elsewhere = {folder: Groups(*known) for folder, known in self.known_elsewhere.items()}
        ours = self.corpus.manifest.sha256, self.split.sha256, self.split.is_named
        groups = Groups(self.looked, *ours, elsewhere)
        return Declared(rules, groups, axis_of(self.resolved.config), self.resolved.axes)

    @property
    def study(self) -> Path:
        """Folder of the study's runs, with its ledgers."""
        return self.folder.path.parent

    @property
    def books(self) -> Books:
        """The study's ledgers, and who else is asked."""
        return Books(self.study, beside=tuple(self.known_elsewhere))

    @functools.cached_property
    def known_elsewhere(self) -> Mapping[Path, KnownAs]:
        """Ledgers beside the corpus, and how the held-out groups are known there."""
        return self.resolved.reader.known_elsewhere(self.split.held_out)

    @property
    def identity(self) -> Identity:
        """Digests of variant, corpus, split and the user's own code: what makes two looks looks of one variant."""
        return (
            self.resolved.sha256,
            self.corpus.manifest.sha256,
            self.older_split or self.split.sha256,
            user_code_sha256(self.fit_code),
        )

    @property
    def opened(self) -> dict[str, int]:
        """By purpose, the number of groups whose targets are read before a verdict."""
        validation = {name for fold in self.split.folds for name in fold.val}
        read = {purpose: len(names) for purpose, names in self.corpus.opened.items()}
        read |= {"score": len(self.split.held_out), "validation": len(validation)}
        return {purpose: count for purpose, count in sorted(read.items()) if count}

    @property
    def blocking(self) -> list[str]:
        """Sentences of the findings that forbid a PROMOTE."""
        return [finding.what for finding in self.findings if finding.blocking]


def prepare(resolved: Resolved, runs: Path) -> Prepared:
    """Read the corpus, split it, run the guards, and plan which units are reused and which are fitted.

    Raises:
        HeldoutError: If the corpus cannot be used or cannot be split, the runs would lie in another run, or a folder of
            this run's name says that it is another run.
    """
    _check_place(runs)
    corpus = cached_corpus(resolved.reader).unopened()
    with placing(resolved.document):
        split = split_corpus(resolved.splitter, corpus)
        _check_locked(corpus, split)
        _check_task(resolved, corpus)
        _check_classes(corpus)
        _check_tasks(resolved, corpus)
        resolved.metrics(corpus.task)
        check_gate(resolved.gate, corpus, resolved.config.get("metrics", ()))
        check_weights(corpus, split, resolved.config.get("metrics", ()))
    _check_backbones(resolved, corpus, split)
    contenders = (resolved.main, *resolved.baselines)
    codes = {_label(each, resolved): code_of(each.backbone, type(resolved.reader)) for each in contenders}
    code = sha256_of({name: each.to_json() for name, each in codes.items()})
    key = run_key(resolved.sha256, corpus.manifest.sha256, resolved.smoke, code)
    packages = {name: found for each in contenders for name, found in environment(each.backbone).items()}
    study = runs / resolved.name
    mine = {
        "study": resolved.name,
        "variant": resolved.variant,
        "variant_sha256": resolved.sha256,
        "corpus_sha256": corpus.manifest.sha256,
        "split_sha256": split.sha256,
    }
    for each in known_runs(study, resolved.variant, key):
        refuse_foreign(each.path, {"run": each.path.name} | mine)
    folder, earlier = _folder(study, resolved.variant, key, packages)
    if resolved.champion is not None:
        resolved.champion.check(corpus.manifest, split)
    with one_thread():
        findings = tuple(check_split(corpus, split, resolved.splitter))
    options = resolved.config["corpus"]
    twin = None if earlier is None else partial(earlier.twin, mine=folder)
    planned = []
    for contender in contenders:
        label = _label(contender, resolved)
        units = tuple(
            make_unit(contender, seed, fold, corpus, options, folder.unit(seed, fold.id, label or None), codes[label])
            for seed in contender.seeds
            for fold in split.folds
        )
        planned.append(Planned(contender, plan_units(units, twin), units))
    main, *others = planned
    baselines = {each.contender.id: each for each in others}
    looked = group_targets(corpus, split.held_out)
    older = older_split(runs, resolved.sha256, corpus.manifest.sha256, split.sha256, split.is_named)
    return Prepared(
        resolved, corpus, split, findings, folder, main, baselines, packages, earlier, codes, looked, older_split=older
    )


def _label(contender: Contender, resolved: Resolved) -> str:
    """Nothing for the variant itself, the id of a baseline."""
    return "" if contender is resolved.main else contender.id


def _folder(study: Path, label: str, key: str, packages: Mapping[str, str]) -> tuple[RunFolder, Earlier | None]:
    """The run directory, and the finished one beside which it is a new one.

    That of the same packages; else the newest if it is not finished: its units of other packages are fitted again; else
    a new one, since a finished run may be signed or registered and is left as it is.
    """
    known = known_runs(study, label, key)
    made_with = [_packages(folder) for folder in known]
    for folder, found in zip(known, made_with, strict=True):
        if found == packages:
            return folder, None
    if not known:
        return new_run(study, label, key), None
    if not known[0].file(MANIFEST_FILE).exists():
        return known[0], None
    return new_run(study, label, key), Earlier(known[0], difference(made_with[0], packages))


def _packages(folder: RunFolder) -> dict[str, str]:
    try:
        found = read_json(folder.file(RUN_FILE))["packages"]
        return {str(name): str(version) for name, version in found.items()}
    except (HeldoutError, OSError, KeyError, TypeError, AttributeError):
        return {}


def _check_place(runs: Path) -> None:
    """A run inside a run would break the outer one's manifest."""
    place = runs.resolve()
    for folder in (place, *place.parents):
        if (folder / RUN_FILE).is_file() and (folder / LOCK_FILE).is_file():
            hint = "name the folder of all runs, such as --runs runs"
            raise StudyError("the folder of runs is itself a run, or lies in one", where=str(folder), hint=hint)


def _check_locked(corpus: Corpus, split: Split) -> None:
    """What is sealed from training would fail unit by unit, after rules were registered."""
    locked = corpus.locked_groups()  # most corpora have none
    for fold in split.folds:
        trained = sorted(locked.difference(fold.test, fold.exceptions))
        if trained:
            raise StudyError(
                f"the fold {fold.id} would train on {len(trained)} groups that are sealed, such as {trained[0]}",
                where="split.kind",
                hint="hold out what the corpus holds out, such as `split: {kind: declared, column: split}`",
                code="HO-G106",
            )


def _check_task(resolved: Resolved, corpus: Corpus) -> None:
    """A target that the task does not take would be scored as if it were one."""
    task = resolved.task
    if task is None:
        return
    if task.kind != corpus.task:
        raise StudyError(
            f"the task {task.name!r} is a {task.kind}, and the target of the corpus is one of {corpus.task}",
            where="task",
            hint="choose another task or target, or say of which kind the target is, as `corpus.task`",
        )
    row = None if task.takes is None else task.refused(corpus.targets("guard"))
    if row is not None:
        raise CorpusError(
            f"the target is {corpus.targets('guard')[row]}, and the task {task.name!r} wants {task.wants}",
            where=f"sample {corpus.ids[row]}, group {corpus.groups[row]}, column {corpus.manifest.target}",
            hint="correct the row, or choose another task",
        )


def _check_classes(corpus: Corpus) -> None:
    """Whoever knows nothing would be right in every row, and no metric tell anything."""
    classes = np.unique(corpus.targets("guard")) if corpus.task == "classification" else np.arange(2)
    if len(classes) < 2:
        raise CorpusError(
            f"the target has one class, {str(classes[0])!r}, in all {len(corpus.ids)} rows",
            where=f"column {corpus.manifest.target}",
            hint="add rows of another class, or name another column as `corpus.target`",
        )


def _check_tasks(resolved: Resolved, corpus: Corpus) -> None:
    """A backbone of the other kind would fail unit by unit."""
    for contender in (resolved.main, *resolved.baselines):
        tasks = contender.backbone.contract.tasks
        if corpus.task not in tasks:
            raise StudyError(
                f"the backbone {contender.backbone.name!r} cannot learn a {corpus.task} target",
                where=f"contender {contender.id}",
                hint=f"it learns {' and '.join(tasks)}: choose another backbone, or another `corpus.task`",
            )


def _check_weighted(contender: Contender, corpus: Corpus) -> None:
    """What cannot fit by weights would be compared by what it was not fitted for."""
    if corpus.weighted and not contender.backbone.contract.weights:
        raise StudyError(
            f"the backbone {contender.backbone.name!r} does not fit by weights, and the corpus has some",
            where="backbone",
            hint="leave `corpus.weight` out, or choose another backbone; one of your own says `weights=True` in its "
            "contract and counts rows by `view.weight`",
        )


def _check_missing(contender: Contender, corpus: Corpus) -> None:
    """What cannot take gaps would fail unit by unit, or take them for something else."""
    backbone = contender.backbone
    used = getattr(backbone.params, "features", None) or corpus.features.columns
    gaps = [name for name in corpus.missing if name in used]
    if gaps and backbone.fits and not backbone.contract.missing:
        raise StudyError(
            f"the backbone {backbone.name!r} takes no missing values, and the feature {gaps[0]!r} has "
            f"{corpus.missing[gaps[0]]}",
            where="backbone",
            hint="take `backbone: sklearn` with `fit: {missing: impute}`, which fills them in each fold from its "
            "training rows, or leave the column out with `corpus.ignore`; a backbone of your own that takes null says "
            "`missing=True` in its contract",
        )


def _check_backbones(resolved: Resolved, corpus: Corpus, split: Split) -> None:
    """What no unit could be fitted with is found before the first one; what complains is given no targets."""
    full, corpus = corpus, corpus.sealed()
    prefixes: list[KeyPath] = [(), *(("baselines", index) for index in range(len(resolved.baselines)))]
    for prefix, contender in zip(prefixes, (resolved.main, *resolved.baselines), strict=True):
        with placing(resolved.document, prefix):
            _check_weighted(contender, corpus)
            _check_missing(contender, corpus)
            if isinstance(contender.backbone, GivenBackbone):
                held_out = full.rows_of(split.held_out)
                contender.backbone.refuse_others(full.ids, full.targets("guard"), held_out)
            if isinstance(contender.backbone, BesideBackbone):
                _refuse_rows(contender.backbone, resolved, corpus)
            if is_foreign(contender.backbone):
                with suppress(ReachedError):  # a guard says it, and the verdict is HOLD
                    Apart(contender.backbone, resolved.reader.kept()).check(corpus)
            else:
                contender.backbone.check(corpus)


def _refuse_rows(backbone: BesideBackbone, resolved: Resolved, corpus: Corpus) -> None:
    """Code that holds the corpus, or a run over it, would be given the held-out targets with every fold."""
    folder, kept = resolved.document.path.parent.resolve(), [each.resolve() for each in resolved.reader.kept()]
    whole = {corpus.manifest.sha256, corpus.manifest.facts.get("file_sha256")}
    for name, sha256 in backbone.carries().items():
        path = (folder / name).resolve()
        inside = any(path.is_relative_to(each) for each in kept)
        judged = any((each / RUN_FILE).exists() for each in path.parents if each.is_relative_to(folder))
        if inside or judged or sha256 in whole:
            raise StudyError(
                f"the code holds {name!r}, which is {'a file of a run' if judged else 'the corpus itself'}",
                where="fit.code",
                hint="name the files that are code, and no folder around the data",
            )
