"""From a study file to a resolved study: plug-ins loaded, every default filled in, frozen and hashed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from heldout import plugins
from heldout.backbone import Backbone, Baseline
from heldout.backbone.asked import asked_of
from heldout.backbone.code import own_code
from heldout.corpus import Reader, TargetKind
from heldout.documents.names import LOCK_FILE
from heldout.errors import HeldoutError, InputError, StudyError, near_miss
from heldout.evidence import digest, read_plain
from heldout.evidence.secrets import secret_leaves, with_digests
from heldout.ledger.declaration import axis_of, rules_of
from heldout.run.asked.held_out import models_block
from heldout.run.champion import ID as CHAMPION
from heldout.run.champion import Champion, Opener
from heldout.run.metrics import declared_of, entries_of, metrics_of, task_entry
from heldout.run.rules import check_bounds, plain_names
from heldout.run.units.contender import Contender
from heldout.split import Splitter, load_splitter
from heldout.study import (
    BASE,
    NOTHING,
    BaselineSpec,
    Document,
    GateSpec,
    StudyFile,
    StudySpec,
    load_study,
    placing,
    validate,
    with_choice,
)
from heldout.study.own_seeds import KEY
from heldout.study.spec import AS_GIVEN
from heldout.study.yaml import LOCK_BYTES, KeyPath, parse_yaml
from heldout.task.metric import Metric
from heldout.task.task import Task, named_task

SCHEMA = "heldout.lock/1"
_RUN_AGAIN = "run the study again"
# What is trained and how it is held out: these parts of the configuration identify a variant.
IDENTITY = ("corpus", "split", "backbone", "fit", "seeds")


@dataclass(frozen=True)
class Resolved:
    """A study with one variant applied and nothing left to default.

    Attributes:
        name: Name of the study.
        variant: Id of the variant, ``base`` for none.
        spec: The typed study.
        gate: The policy: the study's own, or the backbone's default.
        reader: Bound to its options; its path is resolved against the study's folder.
        splitter: Bound to the `split:` block.
        main: The variant as a contender, over all seeds.
        baselines: Cheap contenders, one seed each.
        champion: The run to beat, or None.
        smoke: Why this is a smoke run, or None.
        overridden: Blocks that `--set` changed.
        config: Everything above as JSON, as written to ``study.lock.yaml``.
        document: The file, with the place of every key as this variant reads it.
        declared: The rules that the file declares, whatever `--set` changed; None if it declares none without that.
        axes: How each variant of the file cuts and holds out, as digests.
        task: How predictions are scored; None: as those of its kind of target.
    """

    name: str
    variant: str
    spec: StudySpec
    gate: GateSpec
    reader: Reader
    splitter: Splitter
    main: Contender
    baselines: tuple[Contender, ...]
    champion: Champion | None
    smoke: str | None
    overridden: frozenset[str]
    config: Mapping[str, Any]
    document: Document
    declared: Mapping[str, Any] | None = None
    axes: tuple[str, ...] = ()
    task: Task | None = None

    @property
    def sha256(self) -> str:
        """Digest of what is trained and how it is held out: the identity of the variant."""
        return digest({part: self.config[part] for part in IDENTITY})

    def metrics(self, kind: TargetKind) -> tuple[Metric, ...]:
        """The metrics that are computed of every contender, the primary one first.

        Raises:
            StudyError: If a rule names none of such a study; the place is a key of the study.
        """
        return metrics_of(self.gate, self.config.get("metrics", ()), kind, self.task, self.config.get("labels"))

    @property
    def corpus_path(self) -> Path:
        """The corpus file."""
        return self.reader.options.path


def resolve(file: StudyFile, variant: str = BASE, champion: Opener = Champion.open) -> Resolved:
    """Load the plug-ins that a study names and fill in every default.

    Args:
        file: The study.
        variant: Id of a variant, or ``base``.
        champion: Opens and verifies the run to beat.

    Raises:
        StudyError: If a block does not fit its plug-in, the gate has no rules, or the variant changes nothing.
    """
    resolved = _resolve(file, file.variant(variant), variant, champion)
    declared = _declared(file, variant, champion) if file.overrides else rules_of(resolved.config)
    resolved = replace(resolved, declared=declared, axes=_axes(file))
    if variant != BASE and resolved.sha256 == _resolve(file, file.spec, BASE, champion).sha256:
        raise StudyError(
            f"the variant {variant!r} changes nothing that is trained",
            where=file.document.where(("variants",)),
            hint="an overlay must change corpus, split, backbone, fit or seeds",
        )
    return resolved


def _axes(file: StudyFile) -> tuple[str, ...]:
    """The axis of the study itself and of every variant; one that cannot be read has none."""
    found = set()
    for name in (BASE, *(each.id for each in file.spec.variants)):
        with suppress(HeldoutError):
            spec = file.variant(name)
            splitter = load_splitter(spec.split)
            task = None if spec.task is None else named_task(spec.task)
            found.add(
                axis_of({"corpus": _named(_reader(spec.corpus, file, splitter, task)), "split": _plain(splitter)})
            )
    return tuple(sorted(found))


def _declared(file: StudyFile, variant: str, champion: Opener) -> dict[str, object] | None:
    """The rules of the file as it lies there: what was tried out on the command line was not declared."""
    try:
        plain = load_study(file.document.path)
        return rules_of(_resolve(plain, plain.variant(variant), variant, champion).config)
    except HeldoutError:
        return None


def _resolve(file: StudyFile, spec: StudySpec, variant: str, opener: Opener) -> Resolved:
    document, spec = file.document_of(variant), with_choice(file, spec, variant)
    splitter = load_splitter(spec.split, document)
    task = None if spec.task is None else named_task(spec.task, where=document.where(("task",)))
    reader = _reader(spec.corpus, file, splitter, task)
    backbone = load_backbone(spec.backbone, spec.fit, document)
    allowed = backbone.contract.readers
    if allowed and reader.name not in allowed:
        raise StudyError(
            f"the backbone {spec.backbone!r} cannot learn from the reader {reader.name!r}",
            where=document.where(("corpus", "reader")),
            hint=f"it learns from: {', '.join(allowed)}",
        )
    declared = _gate(spec, backbone, document)
    entries = entries_of(spec, declared, document, task)
    brought = declared_of(entries)
    check_bounds(declared, document, brought)
    gate = plain_names(declared, brought)
    smoke = _smoke(file, backbone)
    seeds = _seeds(spec, backbone, document)
    config = {
        "schema": SCHEMA,
        "study": spec.study,
        "variant": variant,
        "corpus": _named(reader),
        "split": _plain(splitter),
        "backbone": spec.backbone,
        "fit": backbone.params.model_dump(mode="json"),
        "seeds": seeds,
        "gate": gate.model_dump(mode="json", exclude_none=True),
        "bootstrap": spec.bootstrap.model_dump(mode="json"),
        "smoke": smoke,
    }
    if entries:
        config["metrics"] = entries
    scored_as = None if task is None else task_entry(task.name)
    if scored_as is not None:
        config["task"] = scored_as
    baselines = _baselines(spec, backbone, document)
    config["baselines"] = [
        {"id": each.id, "backbone": each.backbone.name, "fit": each.backbone.params.model_dump(mode="json")}
        for each in baselines
    ]
    models = models_block(backbone, {each.id: each.backbone for each in baselines}, document)
    if models:
        config["models"] = models
    champion = None if spec.champion is None else opener(file.folder / spec.champion)
    labels = _says_labels(backbone, baselines, champion)
    if labels:
        config["labels"] = labels
    secrets = tuple(leaf for key, value in file.overrides.items() for leaf in secret_leaves(key, value))
    config = with_digests(config, secrets)
    baselines = tuple(replace(each, secrets=secrets) for each in baselines)
    config["champion"] = None if champion is None else champion.identity
    _check_required(gate, [BASE, *(each.id for each in spec.variants)], document)
    _check_rivals(gate, [*(each.id for each in baselines), *([CHAMPION] if champion else []), NOTHING], document)
    overridden = frozenset(key.partition(".")[0] for key in file.overrides)
    main = Contender(variant, spec.description, backbone, tuple(seeds), secrets)
    return Resolved(
        spec.study,
        variant,
        spec,
        gate,
        reader,
        splitter,
        main,
        baselines,
        champion,
        smoke,
        overridden,
        config,
        document,
        task=task,
    )


def _says_labels(backbone: Backbone, baselines: Sequence[Contender], champion: Champion | None) -> dict[str, str]:
    """By contender (the variant itself has the empty name), the estimators that say labels and no probabilities."""
    both = {"": backbone} | {each.id: each.backbone for each in baselines}
    found = {
        name: str(getattr(each.params, "estimator", each.name)) for name, each in both.items() if not each.probabilities
    }
    theirs = {} if champion is None else read_lock(champion.folder / LOCK_FILE).get("labels", {})
    return found | ({CHAMPION: str(theirs[""])} if "" in theirs else {})


def load_backbone(
    name: str, fit: Mapping[str, Any], document: Document | None = None, prefix: KeyPath = ()
) -> Backbone:
    """Load a backbone by name and bind its ``fit:`` block.

    Args:
        name: Of the backbone.
        fit: The block.
        document: The study that names it, for the place of a complaint.
        prefix: Where in the study: nothing for the study's own, the baseline's place for a baseline.

    Raises:
        StudyError: If there is none of that name, or the block does not fit it.
    """
    place = document or Document(Path("study"), {}, {})
    cls: type[Backbone] = plugins.load("backbones", name, where=place.where((*prefix, "backbone")))
    if fit.get(KEY) == AS_GIVEN and KEY not in cls.Params.model_fields:
        raise StudyError(
            f"the backbone {name!r} takes no random_state, so its seeds cannot be as given",
            where=place.where(("seeds",)),
            hint="list them, such as `seeds: [0]`",
        )
    params: BaseModel = validate(cls.Params, dict(fit), place, (*prefix, "fit"))
    if document is None:
        return cls(params)
    with placing(document, prefix):
        found = cls(params)
        asked_of(found)  # refuses who neither fits nor asks
        return found.bound(document.path.parent)


def _reader(block: Mapping[str, Any], file: StudyFile, splitter: Splitter, task: Task | None) -> Reader:
    document = file.document
    name = block.get("reader", "table")
    cls: type[Reader] = plugins.load("readers", str(name), where=document.where(("corpus", "reader")))
    told = {key: value for key, value in block.items() if key != "reader"}
    if splitter.column is not None:
        told |= _without_feature(splitter.column, told, cls, document)
    if task is not None and "task" in cls.Options.model_fields:
        told = {"task": task.kind} | told  # a number may be a class; whoever says otherwise is told so when it is read
    options = validate(cls.Options, told, document, ("corpus",))
    path = options.path if options.path.is_absolute() else file.folder / options.path
    return cls(options.model_copy(update={"path": path}))


def _without_feature(column: str, block: Mapping[str, Any], cls: type[Reader], document: Document) -> dict[str, object]:
    """The column that a splitter reads, as one that is no feature."""
    if column in cls.beside:
        return {}
    if "ignore" not in cls.Options.model_fields:
        what = f"the reader {cls.name!r} has no columns beside its features, so a split cannot read {column!r}"
        hint = "use another split, or the reader `table`"
        if cls.beside:
            what, hint = (
                f"the reader {cls.name!r} has no column {column!r}",
                near_miss(column, cls.beside, "its columns"),
            )
        raise StudyError(what, where=document.where(("split", "column")), hint=hint)
    ignored = block.get("ignore", [])
    known = isinstance(ignored, list) and column not in ignored
    return {"ignore": [*ignored, column]} if known else {}


def _named(reader: Reader) -> dict[str, object]:
    return {"reader": reader.name} | reader.options.identity()


def _plain(splitter: Splitter) -> dict[str, object]:
    found: dict[str, Any] = splitter.params.model_dump(mode="json", exclude_none=True)
    # A splitter of the user's own that is edited is another rule: otherwise one could look, and look for better folds.
    own = own_code(splitter.sources())
    return found | ({"code": own} if own else {})


def _gate(spec: StudySpec, backbone: Backbone, document: Document) -> GateSpec:
    if spec.gate.rules:
        return spec.gate
    default = backbone.default_gate()
    if not default:
        raise StudyError(
            "the gate has no rules, so nothing could ever be decided",
            where=document.where(("gate",)),
            hint="declare `gate.rules`, such as {id: rmse, metric: rmse, at_most: 0.5}",
        )
    declared = spec.gate.model_dump(include=spec.gate.model_fields_set - {"rules"})
    return GateSpec.model_validate(default | declared)


def _seeds(spec: StudySpec, backbone: Backbone, document: Document) -> list[int]:
    """The declared seeds; one where a seed changes nothing, since copies of a model would pass for independent fits."""
    if backbone.seeded:
        return spec.fits
    if "seeds" in spec.model_fields_set and len(spec.fits) > 1:
        raise StudyError(
            f"the backbone {backbone.name!r} has no randomness: {len(spec.fits)} seeds would give one model",
            where=document.where(("seeds",)),
            hint=f"declare `seeds: [{spec.fits[0]}]`; a variant does so in its `set`",
        )
    return [spec.fits[0]]


def _smoke(file: StudyFile, backbone: Backbone) -> str | None:
    reasons = [f"`--set {key}` overrides the declared study" for key in sorted(file.overrides)]
    own = backbone.smoke_reason()
    return "; ".join([*reasons, *([own] if own else [])]) or None


def _baselines(spec: StudySpec, backbone: Backbone, document: Document) -> tuple[Contender, ...]:
    declared: Sequence[BaselineSpec | Baseline] = spec.baselines if spec.baselines is not None else backbone.baselines()
    for index, each in enumerate(declared):
        if each.id in {other.id for other in declared[:index]}:
            raise StudyError(
                f"two baselines are named {each.id!r}",
                where=document.where(("baselines", index, "id")),
                hint="name each of them once: the second would replace the first",
            )
        if each.id in (CHAMPION, NOTHING):
            what = "the model to beat" if each.id == CHAMPION else "whoever knows nothing"
            raise StudyError(
                f"{each.id!r} is {what}, not a baseline",
                where=document.where(("baselines", index, "id")),
                hint="choose another id",
            )
    return tuple(
        Contender(
            each.id,
            each.description,
            load_backbone(each.backbone, each.fit, document, ("baselines", index)),
            (spec.fits[0],),
        )
        for index, each in enumerate(declared)
    )


def _check_required(gate: GateSpec, known: Sequence[str], document: Document) -> None:
    """A variant that does not exist will never have a verdict."""
    for variant in gate.requires:
        if variant not in known:
            raise StudyError(
                f"the gate requires the variant {variant!r}, which the study has not",
                where=document.where(("gate", "requires")),
                hint=near_miss(variant, known),
            )


def _check_rivals(gate: GateSpec, known: Sequence[str], document: Document) -> None:
    """A rule against a contender that is not there could never pass."""
    for index, rule in enumerate(gate.rules):
        if rule.against is not None and rule.against not in known:
            hint = "name its run: `champion: runs/...`" if rule.against == CHAMPION else near_miss(rule.against, known)
            raise StudyError(
                f"the rule {rule.id!r} compares with {rule.against!r}, which the study has not",
                where=document.where(("gate", "rules", index, "against")),
                hint=hint,
            )


def lock_yaml(config: Mapping[str, Any]) -> str:
    """The resolved configuration as ``study.lock.yaml``; the study's own reader reads the same values from it."""
    return yaml.dump(dict(config), Dumper=_LockDumper, sort_keys=True, allow_unicode=True, width=120)


def read_lock(path: Path) -> dict[str, Any]:
    """The resolved configuration in a ``study.lock.yaml``.

    Raises:
        InputError: If the file is not exactly what a run writes: a lock has no anchors, tags or comments.
    """
    try:
        data = read_plain(path, most=LOCK_BYTES, links=False)
    except OSError as error:
        raise InputError(f"cannot read the lock: {error.strerror}", where=str(path), hint=_RUN_AGAIN) from None
    found = parse_yaml(data, path).value
    if not isinstance(found, dict) or lock_yaml(found).encode() != data:
        raise InputError("the file is not in the form in which a run writes it", where=str(path), hint=_RUN_AGAIN)
    return found


class _LockDumper(yaml.SafeDumper):
    """Quotes text that is a number in YAML 1.2 though not in PyYAML's 1.1, such as ``5e-4`` and ``089``."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write every value out: a lock has no anchors."""
        return True


_LockDumper.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$"),
    list("-+.0123456789"),
)
