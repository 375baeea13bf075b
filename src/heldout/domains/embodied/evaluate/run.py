"""``heldout eval run`` and ``heldout eval merge``: windows of an index in, an evaluation out.

The answers of a sealed split are opened once every prediction is on disk, and never by a shard. Each opening stands in
the chain beside the index and is a look in the trial ledger there, so that how often these windows decided anything can
be counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired, TypedDict, final

from heldout.domains.embodied.contract.contracts import BackboneContract
from heldout.domains.embodied.evaluate.books import books_of
from heldout.domains.embodied.evaluate.families import Family, make_family
from heldout.domains.embodied.evaluate.plan import PLAN_FILE, Plan, read_plan
from heldout.domains.embodied.evaluate.predictors import train_labels
from heldout.domains.embodied.evaluate.sitting import Opened, Windows, verdict_document
from heldout.domains.embodied.index.source import IndexSource
from heldout.domains.embodied.score.files import outputs, write_files
from heldout.domains.embodied.score.frames import last_frames
from heldout.domains.embodied.score.rules import policy_sha256
from heldout.domains.embodied.score.score import Scored, family_of, score
from heldout.errors import InputError
from heldout.evidence import digest, read_json, sha256_bytes, sha256_file, write_json
from heldout.gate.verdict_files import read_verdict
from heldout.ledger.trials import Ledger
from heldout.predict.identity import Identity
from heldout.predict.session import Sample, Session
from heldout.predict.shards import Shard, merge
from heldout.run.verdict import write_verdict

SCHEMA = "heldout.evaluation/1"
EVALUATION_FILE = "evaluation.json"


@final
class Evaluated(TypedDict):
    """A whole evaluation; by what it was made stands beside it."""

    schema: str
    metrics: Mapping[str, Any]
    verdict: Mapping[str, Any]
    files: Mapping[str, str]
    predicted: NotRequired[int]
    shards: NotRequired[int]


@final
class Predicted(TypedDict):
    """A shard, of which nothing is scored yet."""

    schema: str
    key: str
    sample_offset: int
    sample_stride: int
    samples: int
    of: int
    predicted: int


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

    def finish(self, rows: Sequence[bytes], out: Path) -> Evaluated:
        """Open the answers, score, write every file, judge. What is finished already is left as it is.

        Returns:
            ``metrics`` and ``verdict``, and ``files`` by digest.
        """
        bound = {"key": self.identity.key, "contract": digest(self.contract.config)}
        bound |= {"rows": sha256_bytes(b"\n".join(rows)), **self.family.bound(out)}
        name, source = out.resolve().name, self.source
        windows = Windows(source, self.contract, self.plan.split, self.samples, self._smoke)
        with Ledger(source.folder) as held:
            done = self._finished(out, bound)
            if done is not None:
                return done
            opened = Opened.of(
                held,
                windows,
                windows.look(name, self.plan.predictor, self._variant),
                asked=self.family.windows(self.plan.split, self.samples),
                purpose=f"evaluation {name}, identity {self.identity.key}",
                near=out.resolve().parent,
            )
            scored = opened.scored(lambda: self.family.complete(self._score(rows, opened.answers), out))
            scored, written = outputs(scored, last_frames(source, self.samples))
            files = write_files(out, written | self.family.files(scored))
            judged = {"predictions_sha256": files[scored.family], "index_sha256": source.sha256}
            verdict = opened.judged(verdict_document(scored, judged | {"identity": self.identity.key}), scored)
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
        train = train_labels(self.source)
        return score(self.contract, published, train, where=self.plan.split, smoke=self._smoke, facts=facts)

    @property
    def _smoke(self) -> str | None:
        return f"only the first {self.plan.limit} windows" if self.plan.limit else None

    @property
    def _variant(self) -> str:
        """Digest of what predicts, and how."""
        identity = self.identity
        return digest([identity.adapter, identity.prompt, identity.decoding, identity.code])

    def _finished(self, out: Path, bound: Mapping[str, str]) -> Evaluated | None:
        """What is there already, if it is of these predictions, whole, and what the books say has not changed."""
        path = out / EVALUATION_FILE
        document = read_json(path) if path.is_file() else {}
        if document.get("bound") != bound:
            return None
        for name, sha256 in document["outputs"].items():
            if not (out / name).is_file() or sha256_file(out / name) != sha256:
                return None
        verdict = read_verdict(out)
        if verdict is None or verdict["judged"]["gate_sha256"] != policy_sha256(
            self.contract.config["primary_metrics"]
        ):
            return None
        if not books_of(self.source, self.contract, out.resolve().parent).still(verdict, self.contract):
            return None
        return _result(read_json(out / "metrics.json"), verdict, document["outputs"])


def run(
    plan: Plan,
    contract: BackboneContract,
    out: Path,
    *,
    shard: Shard | None = None,
    workers: int = 1,
    closed_loop: Path | None = None,
) -> Evaluated | Predicted:
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
    facts: dict[str, str | int] = {"run_id": out.resolve().name, "eval_split": plan.split}
    facts |= {"sample_offset": shard.offset, "sample_stride": shard.stride}
    session = Session(out, evaluation.identity, shard.take(evaluation.samples), facts)
    if not (out / PLAN_FILE).exists():
        write_json(out / PLAN_FILE, plan.to_json(out, contract))
    finished = session.run(plan.spec, workers=workers)
    rows = finished.require()
    if shard.stride > 1:
        return {
            "schema": "heldout.evaluation-shard/1",
            "key": evaluation.identity.key,
            "sample_offset": shard.offset,
            "sample_stride": shard.stride,
            "samples": len(rows),
            "of": len(evaluation.samples),
            "predicted": finished.predicted,
        }
    return {**evaluation.finish(rows, out), "predicted": finished.predicted}


def merge_shards(
    folders: Sequence[Path], contract: BackboneContract, out: Path, *, closed_loop: Path | None = None
) -> Evaluated:
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
    return {**evaluation.finish(rows, out), "shards": len(folders)}


def _result(metrics: Mapping[str, Any], verdict: Mapping[str, Any], files: Mapping[str, str]) -> Evaluated:
    return {
        "schema": "heldout.eval-run/1",
        "metrics": dict(metrics),
        "verdict": dict(verdict),
        "files": dict(files),
    }
