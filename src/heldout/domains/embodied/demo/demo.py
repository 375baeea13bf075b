"""``heldout demo embodied``: one corpus of physics episodes, three backbones, every step up to a public package.

Nothing here is staged: each step is the function that its own command calls, and what a verdict says is what the
held-out episodes say. A HOLD is an end as good as any.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heldout.domains.embodied.checkpoint.seen import Checkpoint
from heldout.domains.embodied.contract.contracts import BackboneContract, find_contract, load_registry
from heldout.domains.embodied.demo.families import BEFORE_EVALUATION, TRAINERS, Job, Trained, check_options
from heldout.domains.embodied.demo.rows import Demonstration, Row, row_of
from heldout.domains.embodied.demo.steps import Say, Steps
from heldout.domains.embodied.demo.study import DemoStudy, DemoVariant, FamilySpec, options
from heldout.domains.embodied.evaluate.plan import Plan
from heldout.domains.embodied.simulate.physics import SimOptions
from heldout.domains.embodied.watch.watch import FULL, Watch, WatchOptions
from heldout.errors import CorpusError, HeldoutError, PrerequisiteError, UnitError
from heldout.evidence import alone, sha256_file, write_json
from heldout.package.content.secrets import require_search
from heldout.package.public.publish import package_public

SCHEMA, DOCUMENT_FILE = "heldout.demo-embodied/1", "demo.json"
_NEEDED = ("export", "train", "eval")
_SHOWN = {"adapter_shape_check_done": "gate", "eval_smoke_exit": "smoke", "eval_full_exit": "evaluation"}
_MOST_WORKERS = 4


@dataclass(frozen=True)
class Places:
    """Where everything lies, under one folder."""

    root: Path

    @property
    def store(self) -> Path:
        """Episodes."""
        return self.root / "store"

    @property
    def manifest(self) -> Path:
        """Selection and split."""
        return self.root / "manifest"

    @property
    def index(self) -> Path:
        """Windows."""
        return self.root / "index"

    @property
    def exports(self) -> Path:
        """Data sets of the families."""
        return self.root / "data"


def demo_embodied(
    out: Path, study: DemoStudy, *, variants: Sequence[str] = (), workers: int | None = None, say: Say = print
) -> Demonstration:
    """Go the whole road. Started again, it does what is missing.

    Args:
        out: A folder of its own.
        study: What is made, trained and judged.
        variants: Only these.
        workers: Processes; one a processor, up to four.
        say: Called with each line of what happens.

    Returns:
        The document ``heldout.demo-embodied/1``, which stands in ``demo.json`` too.

    Raises:
        PrerequisiteError: If the simulator or the search for secrets is missing.
        InputError: If another study was run in the folder.
        StaleError: If another process runs one there.
        StudyError: If an option of the study is unknown or wrong.
    """
    chosen = study.variants(variants)
    for variant, family in chosen:
        check_options(variant, family)
    require_search()
    with alone(out, "runs a demonstration there", lock=".demo.lock"):
        return _run(Places(out), study, chosen, workers or min(_MOST_WORKERS, os.cpu_count() or 1), say)


def _run(
    places: Places, study: DemoStudy, chosen: Sequence[tuple[DemoVariant, FamilySpec]], workers: int, say: Say
) -> Demonstration:
    out, steps = places.root, Steps(places.root / "steps", say)
    contracts = load_registry(out)
    sim = options(SimOptions, study.spec.corpus.simulate, "corpus.simulate")
    key = _corpus(places, study, sim, contracts, steps, workers)
    rows = []
    for variant, family in chosen:
        folder = out / "variants" / variant.id
        job = Job(variant, family, places.index, key, places.exports, folder, sim, steps, workers)
        rows.append(_variant(job, places, contracts, study.spec.smoke_windows))
    promote = all(row["verdict"] == "PROMOTE" for row in rows)
    document: Demonstration = {
        "schema": SCHEMA,
        "study": study.spec.study,
        "out": str(out),
        "rows": rows,
        "promote": promote,
    }
    write_json(out / DOCUMENT_FILE, document)
    return document


def _corpus(
    places: Places,
    study: DemoStudy,
    sim: SimOptions,
    contracts: Mapping[str, BackboneContract],
    steps: Steps,
    workers: int,
) -> str:
    """Episodes, their split, their windows; the key of the index."""
    from heldout.domains.embodied.index.build import build_index
    from heldout.domains.embodied.index.windows import WindowOptions
    from heldout.domains.embodied.select.guards import check_manifest
    from heldout.domains.embodied.select.manifest import build_manifest, read_manifest
    from heldout.domains.embodied.select.rules import SelectionRules
    from heldout.domains.embodied.simulate.simulate import choose_tasks, simulate

    spec = study.spec
    episodes = spec.corpus.tasks * spec.corpus.seeds
    rules = options(
        SelectionRules, {"target": episodes * 8 // 9} | spec.select, "select"
    )  # a ninth is there to replace
    windows = options(WindowOptions, spec.windows, "windows")
    made = simulate(choose_tasks(spec.corpus.tasks, []), spec.corpus.seeds, places.store, sim, workers=workers)
    if made.failed:
        name, reason = made.failed[0]
        raise UnitError(f"{name} could not be simulated: {reason}", where=str(places.store), hint="start it again")
    reused = len(made.episodes) - made.made
    steps.tell("simulate", f"{len(made.episodes)} episodes, {reused} of them there already")

    def select() -> str:
        document = read_manifest(build_manifest([places.store], places.manifest, rules))
        _refuse(check_manifest(document), places.manifest)
        return _splits(document["summary"]["usable_split_counts"]) + " episodes"

    def cut() -> str:
        document = build_index(places.manifest, places.index, windows, contracts)
        _refuse(document["findings"], places.index)
        return _splits(document["sample_split_counts"]) + " windows"

    corpus = [spec.corpus.model_dump(mode="json"), spec.select]
    key = steps.once("manifest", corpus, places.manifest, select)
    return steps.once("index", [key, spec.windows], places.index, cut)


def _variant(job: Job, places: Places, contracts: Mapping[str, BackboneContract], smoke: int) -> Row:
    """Train, gate, evaluate, package; whatever ends it is the reason of its row."""
    contract = find_contract(contracts, job.variant.family)
    evaluation = job.out / "watched" / FULL
    facts = {"backbone": contract.id, "variant": job.variant.id, "headline": job.family.headline}
    try:
        _require_entry_points(contract)
        trained = TRAINERS[contract.id](job)
        _judge(job, trained, places, contract, smoke)
        package = _package(job, evaluation, contracts)
    except HeldoutError as error:
        job.steps.tell(job.step("ended"), f"{error.code}: {error.what}")
        return row_of(facts, None, None, reason=f"{error.what}; {error.hint}")
    return row_of(facts, evaluation, package)


def _require_entry_points(contract: BackboneContract) -> None:
    missing = [name for name in _NEEDED if not contract.config["entrypoints"].get(name)]
    if missing:
        what = f"the contract names no entry point for {', '.join(missing)}"
        raise PrerequisiteError(what, where=str(contract.path), hint="it is planned, not implemented")


def _judge(job: Job, trained: Trained, places: Places, contract: BackboneContract, smoke: int) -> None:
    """The gate and the smoke evaluation first; then what the whole evaluation asks for, and that."""

    def tell(event: Mapping[str, Any]) -> None:
        if event["event"] in _SHOWN:
            decides = ("verdict",) if event["event"] == "eval_full_exit" else ()
            told = {key: event[key] for key in ("status", "samples", *decides, "seconds") if key in event}
            name = job.step(_SHOWN[event["event"]])
            job.steps.tell(name, "  ".join(f"{key} {value}" for key, value in told.items()))

    out = job.out / "watched"
    gated = Checkpoint(trained.checkpoint, contract, trained.training, trained.base, places.manifest)
    plan = Plan(job.index, contract.id, trained.checkpoint)
    first = BEFORE_EVALUATION.get(contract.id)
    if first is not None:
        short = WatchOptions(poll_seconds=1, smoke_limit=smoke, skip_full=True, workers=job.workers)
        Watch(trained.training, gated, plan, out, short, on_event=tell).run()
        first(job, trained, out / FULL)
    whole = WatchOptions(poll_seconds=1, smoke_limit=smoke, skip_checkpoint=first is not None, workers=job.workers)
    shown = tell if first is None else lambda event: tell(event) if event["event"] == "eval_full_exit" else None
    Watch(trained.training, gated, plan, out, whole, on_event=shown).run()


def _package(job: Job, evaluation: Path, contracts: Mapping[str, BackboneContract]) -> Path:
    """The public package, named after the evaluation that it is of."""
    from heldout.domains.embodied.evaluate.run import EVALUATION_FILE

    sha256 = sha256_file(evaluation / EVALUATION_FILE)
    path = job.out / f"public-{sha256[:12]}.tar.gz"
    configs = {name: contract.config for name, contract in contracts.items()}

    def make() -> str:
        made = package_public(evaluation, path, contract=job.variant.family, contracts=configs)
        return f"{len(made.document['files'])} files, sha256 {made.sha256[:12]}"

    job.steps.once(job.step(f"package-{sha256[:12]}"), sha256, path, make)
    return path


def _refuse(findings: Sequence[Any], where: Path) -> None:
    for finding in findings:
        one = finding if isinstance(finding, Mapping) else finding.to_json()
        if one["blocking"]:
            raise CorpusError(str(one["what"]), where=str(where), hint=str(one["hint"]), code=str(one["code"]))


def _splits(counts: Mapping[str, int]) -> str:
    return "/".join(str(counts.get(split, 0)) for split in ("train", "val", "test"))
