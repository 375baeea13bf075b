"""``heldout eval run`` and ``heldout eval merge``: windows of an index in, an evaluation out.

The answers of a sealed split are opened once every prediction is on disk, and never by a shard. Each opening stands in
the chain beside the index and is a look in the trial ledger there, so that how often these windows decided anything can
be counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heldout.domains.embodied.contracts import BackboneContract
from heldout.domains.embodied.evaluation import Scored, family_of, score
from heldout.domains.embodied.evaluation_families import Family, make_family
from heldout.domains.embodied.evaluation_files import write_files
from heldout.domains.embodied.evaluation_frames import last_frames
from heldout.domains.embodied.evaluation_plan import PLAN_FILE, Plan, read_plan
from heldout.domains.embodied.evaluation_predictors import train_labels
from heldout.domains.embodied.evaluation_rules import policy_sha256
from heldout.domains.embodied.evaluation_score import outputs, verdict_document
from heldout.domains.embodied.evaluation_source import IndexSource
from heldout.domains.embodied.index import SEALED
from heldout.errors import HeldoutError, InputError
from heldout.evaluate.identity import Identity
from heldout.evaluate.session import Sample, Session
from heldout.evaluate.shards import Shard, merge
from heldout.evidence import digest, dumps, read_json, sha256_bytes, sha256_file, write_json
from heldout.gate.verdict_files import read_verdict, write_verdict
from heldout.run.ledger import Ledger, Look

SCHEMA = "heldout.evaluation/1"
EVALUATION_FILE = "evaluation.json"


@dataclass(frozen=True)
class Evaluation:
    """A plan, and what it is applied to.

    Attributes:
        plan: What is evaluated.
        contract: Of the backbone.
        source: The index.
        family: What is predicted of a window.
        samples: All of the selection, in order.
        identity: What predictions are predictions of.
    """

    plan: Plan
    contract: BackboneContract
    source: IndexSource
    family: Family
    samples: Sequence[Sample]
    identity: Identity

    @classmethod
    def prepare(cls, plan: Plan, contract: BackboneContract) -> Evaluation:
        """Open the index.

        Raises:
            InputError: If the index has no such windows.
            PrerequisiteError: If nothing here scores what the backbone predicts.
        """
        predictions = family_of(contract)
        source = IndexSource(plan.index)
        family = make_family(predictions, source, plan.adapter)
        samples = family.samples(plan.split, plan.limit)
        return cls(plan, contract, source, family, samples, plan.identity(source, samples, family.sources))

    def finish(self, rows: Sequence[bytes], out: Path) -> dict[str, Any]:
        """Open the answers, score, write every file, judge. What is finished already is left as it is.

        Returns:
            ``metrics`` and ``verdict``, and ``files`` by digest.
        """
        bound = {"key": self.identity.key, "contract": digest(self.contract.config)}
        bound |= {"rows": sha256_bytes(b"\n".join(rows)), **self.family.bound(out)}
        done = _finished(out, bound)
        if done is not None:
            return done
        name = out.resolve().name
        with Ledger(self.source.folder) as ledger:
            purpose = f"evaluation {name}, identity {self.identity.key}"
            asked = self.family.windows(self.plan.split, self.samples)
            answers = self.source.answers(self.plan.split, asked, purpose)
            try:
                scored = self.family.complete(self._score(rows, answers), out)
            except HeldoutError:
                self._look(ledger, name, None, "FAILED")
                raise
            scored, written = outputs(scored, last_frames(self.source, self.samples))
            files = write_files(out, written | self.family.files(scored))
            judged = {"predictions_sha256": files[scored.family], "index_sha256": self.source.sha256}
            verdict = verdict_document(scored, judged | {"identity": self.identity.key})
            if self.plan.split in SEALED:
                verdict |= {"trial": self._look(ledger, name, scored, verdict["verdict"])}
        write_verdict(out, verdict)
        document = {"schema": SCHEMA, "bound": bound, "identity": self.identity.to_json(), "samples": len(rows)}
        write_json(out / EVALUATION_FILE, document | {"outputs": files, "verdict": verdict["verdict"]})
        return _result(scored.metrics, verdict, files)

    def _score(self, rows: Sequence[bytes], answers: Mapping[str, Mapping[str, Any]]) -> Scored:
        published = self.family.rows(self.samples, answers, rows)
        facts = {
            "predictor": self.plan.predictor,
            "dataset": self.source.manifest.get("run_id"),
            "key": self.identity.key,
            "skipped_episodes": self.source.manifest.get("skipped_episodes") or [],
        }
        smoke = f"only the first {self.plan.limit} windows" if self.plan.limit else None
        train = train_labels(self.source)
        return score(self.contract, published, train, where=self.plan.split, smoke=smoke, facts=facts)

    def _look(self, ledger: Ledger, name: str, scored: Scored | None, outcome: Any) -> dict[str, Any]:
        """Count the look, in the ledger beside the index: what is tried on these windows is tried on all of them."""
        identity, primary = self.identity, self.contract.config["primary_metrics"]
        evidence = scored.metrics["evidence"] if scored else {}
        first = next((key for key in primary if key in evidence), None)
        look = Look(
            run=name,
            variant=self.plan.predictor,
            variant_sha256=digest([identity.adapter, identity.prompt, identity.decoding, identity.code]),
            corpus_sha256=self.source.sha256,
            split_sha256=digest([self.plan.split, [sample.id for sample in self.samples]]),
            gate_sha256=policy_sha256(primary),
            seeds=(),
            smoke=scored.metrics["smoke"] if scored else None,
            outcome=outcome,
            primary={"name": first, "value": evidence[first]["value"]} if first else None,
            metrics_sha256=sha256_bytes(dumps(scored.metrics)) if scored else None,
        )
        return ledger.record(look).to_json()


def run(
    plan: Plan,
    contract: BackboneContract,
    out: Path,
    *,
    shard: Shard | None = None,
    workers: int = 1,
    closed_loop: Path | None = None,
) -> dict[str, Any]:
    """Predict what is missing, and finish if this is the whole evaluation.

    Args:
        plan: What is evaluated.
        contract: Of the backbone.
        out: Folder; resumed if it is there.
        shard: Predict a part only; nothing is scored then.
        workers: Processes.
        closed_loop: Folder of runs in the simulator, taken into ``out`` and judged too.

    Returns:
        For a shard its counts; else as ``Evaluation.finish``.

    Raises:
        InputError: If the predictor does not take what it is given, or nothing asks for these runs.
        RefusedError: If the folder holds predictions of something else.
        UnitError: If some samples could not be predicted.
    """
    shard = (shard or Shard()).check()
    evaluation = Evaluation.prepare(plan.check(), contract)
    if closed_loop is not None:
        if shard.stride > 1:
            raise InputError("a shard is not judged", where="--closed-loop", hint="give it to heldout eval merge")
        evaluation.family.take_runs(closed_loop, out)
    facts: dict[str, Any] = {"run_id": out.resolve().name, "eval_split": plan.split}
    facts |= {"sample_offset": shard.offset, "sample_stride": shard.stride}
    session = Session(out, evaluation.identity, shard.take(evaluation.samples), facts)
    if not (out / PLAN_FILE).exists():
        write_json(out / PLAN_FILE, plan.to_json(out, contract))
    finished = session.run(plan.spec, workers=workers)
    rows = finished.require()
    if shard.stride > 1:
        counts = {"samples": len(rows), "of": len(evaluation.samples), "predicted": finished.predicted}
        head = {"schema": "heldout.evaluation-shard/1", "key": evaluation.identity.key}
        return head | {"sample_offset": shard.offset, "sample_stride": shard.stride} | counts
    return evaluation.finish(rows, out) | {"predicted": finished.predicted}


def merge_shards(
    folders: Sequence[Path], contract: BackboneContract, out: Path, *, closed_loop: Path | None = None
) -> dict[str, Any]:
    """Put shards together and score them as one evaluation.

    Raises:
        InputError: If samples are missing, or nothing asks for these runs.
        RefusedError: If the shards are not of one identity, or a sample stands twice or was not asked.
    """
    plan, _ = read_plan(folders[0])
    evaluation = Evaluation.prepare(plan, contract)
    rows = merge(folders, [sample.id for sample in evaluation.samples], evaluation.identity)
    if closed_loop is not None:
        evaluation.family.take_runs(closed_loop, out)
    write_json(out / PLAN_FILE, plan.to_json(out, contract))
    return evaluation.finish(rows, out) | {"shards": len(folders)}


def _finished(out: Path, bound: Mapping[str, str]) -> dict[str, Any] | None:
    """What is there already, if it is of these predictions and whole."""
    path = out / EVALUATION_FILE
    if not path.is_file():
        return None
    document = read_json(path)
    if document.get("bound") != bound:
        return None
    for name, sha256 in document["outputs"].items():
        if not (out / name).is_file() or sha256_file(out / name) != sha256:
            return None
    verdict = read_verdict(out)
    if verdict is None:
        return None
    return _result(read_json(out / "metrics.json"), verdict, document["outputs"])


def _result(metrics: Mapping[str, Any], verdict: Mapping[str, Any], files: Mapping[str, str]) -> dict[str, Any]:
    return {
        "schema": "heldout.eval-run/1",
        "metrics": dict(metrics),
        "verdict": dict(verdict),
        "files": dict(files),
    }
