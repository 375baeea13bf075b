"""Everything that is known before compute is spent: corpus, split, findings, and which units are to be fitted."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from heldout.backbone.code import Code, code_of, sha256_of, user_code_sha256
from heldout.corpus import Corpus
from heldout.corpus.guards import Finding
from heldout.documents.names import LOCK_FILE, MANIFEST_FILE, RUN_FILE
from heldout.errors import HeldoutError, StudyError
from heldout.evidence import read_json
from heldout.ledger.declaration import axis_of, rules_of, with_code
from heldout.ledger.history import Groups
from heldout.ledger.policy import Declared
from heldout.ledger.targets import group_targets
from heldout.ledger.trials import Identity, older_split
from heldout.run.apart.foreign import Apart, ReachedError, is_foreign
from heldout.run.contender import Contender
from heldout.run.environment import difference, environment
from heldout.run.fitting import Plan, plan_units
from heldout.run.layout import RunFolder, known_runs, new_run, refuse_foreign, run_key
from heldout.run.resolve import Resolved
from heldout.run.rules import check_gate
from heldout.run.units import Unit, cached_corpus, make_unit
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
    older_split: str | None = None

    @property
    def contenders(self) -> tuple[Planned, ...]:
        """The variant itself, then its baselines."""
        return (self.main, *self.baselines.values())

    @property
    def fit_code(self) -> dict[str, Any]:
        """The code that fits each contender, as it stands in documents."""
        return {name: code.to_json() for name, code in self.codes.items()}

    @property
    def user_code(self) -> dict[str, str]:
        """Sha256 of each module of the user's own that fits any contender."""
        return {name: sha256 for code in self.codes.values() for name, sha256 in code.user.items()}

    def summary(self) -> dict[str, Any]:
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

    @property
    def declared(self) -> Declared:
        """What the run is judged by, and on which groups."""
        rules = with_code(rules_of(self.resolved.config), self.fit_code)
        groups = Groups(self.looked, self.corpus.manifest.sha256, self.split.sha256, self.split.is_named)
        return Declared(rules, groups, axis_of(self.resolved.config), self.resolved.axes)

    @property
    def study(self) -> Path:
        """Folder of the study's runs, with its ledgers."""
        return self.folder.path.parent

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
    corpus = cached_corpus(resolved.reader)
    with placing(resolved.document):
        split = split_corpus(resolved.splitter, corpus)
        _check_tasks(resolved, corpus)
        resolved.metrics(corpus.task)
        check_gate(resolved.gate, corpus, resolved.config.get("metrics", ()))
    _check_backbones(resolved, corpus)
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


def _check_backbones(resolved: Resolved, corpus: Corpus) -> None:
    """What no unit could be fitted with is found before the first one."""
    prefixes: list[KeyPath] = [(), *(("baselines", index) for index in range(len(resolved.baselines)))]
    for prefix, contender in zip(prefixes, (resolved.main, *resolved.baselines), strict=True):
        with placing(resolved.document, prefix):
            if is_foreign(contender.backbone):
                with suppress(ReachedError):  # a guard says it, and the verdict is HOLD
                    Apart(contender.backbone, (resolved.corpus_path,)).check(corpus)
            else:
                contender.backbone.check(corpus)
