"""Links to the corpus file itself, where someone has it: its digest, the rows that were held out, and the guards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from heldout import plugins
from heldout.corpus import Corpus, Reader
from heldout.corpus.table import TableReader
from heldout.evidence import dumps, loads
from heldout.evidence.provenance import code_digest
from heldout.run.collect import held_out_rows
from heldout.run.fitted_state import FITTED_STATE
from heldout.run.units.unit import cached_corpus
from heldout.split import check_split
from heldout.task.predictions import target_columns
from heldout.task.table import table_in
from heldout.verify.chain import BrokenError, NotCheckedError
from heldout.verify.differences import first_difference
from heldout.verify.evidence import RunEvidence
from heldout.verify.trivial import compare_trivial

_SLICE = "slice:"  # a feature whose values go with every row of the predictions
_NO_CORPUS = "the corpus file was not given: --corpus FILE"


def bound_reader(evidence: RunEvidence) -> Reader:
    """The reader that the run used, bound to the corpus file that was given.

    Raises:
        NotCheckedError: If no file was given.
    """
    if evidence.corpus_path is None:
        raise NotCheckedError(_NO_CORPUS)
    block = dict(evidence.lock["corpus"])
    cls: type[Reader] = plugins.load("readers", str(block.pop("reader")), where="study.lock.yaml: corpus")
    reader = cls(cls.Options.model_validate(block | {"path": evidence.corpus_path}))
    return reader if not isinstance(reader, TableReader) else _as_then(reader, evidence)


def _as_then(reader: TableReader, evidence: RunEvidence) -> Reader:
    """The reader as it was when groups of a CSV lost their zeros, if only so it finds the groups that were judged."""
    stated = {group.id for group in evidence.corpus.groups}
    if stated == {group.id for group in cached_corpus(reader).manifest.groups}:
        return reader
    before = TableReader(reader.options.model_copy(update={"zeros": "drop"}))
    return before if stated == {group.id for group in cached_corpus(before).manifest.groups} else reader


def check_corpus_file(evidence: RunEvidence) -> str:
    """The file is the corpus that was judged, and its rows are those of the predictions."""
    corpus = cached_corpus(bound_reader(evidence))
    if corpus.manifest.sha256 != evidence.corpus.sha256:
        what = f"the file is another corpus: {corpus.manifest.sha256[:12]}, judged was {evidence.corpus.sha256[:12]}"
        raise BrokenError(what, str(evidence.corpus_path))
    # Its name and folder may change when it is copied; what it holds may not.
    mine, theirs = (loads(dumps(each.to_json()), where="corpus") for each in (corpus.manifest, evidence.corpus))
    for document in (mine, theirs):
        document["path"] = ""
        for group in document["groups"]:
            group["path"] = ""
    place = first_difference(mine, theirs)
    if place is not None:
        raise BrokenError("corpus.json does not describe this file", f"corpus.json: {place}")
    return _compare_rows(evidence, corpus)


def check_guards(evidence: RunEvidence) -> str:
    """The guards find in the corpus what the verdict says that they found."""
    if evidence.corpus_path is None:
        _same_content(evidence)
        raise NotCheckedError(_NO_CORPUS)
    corpus = cached_corpus(bound_reader(evidence))
    found = [finding.to_json() for finding in check_split(corpus, evidence.split, evidence.splitter)]
    # What is fitted is no matter of the corpus alone: the link of the refit asks that guard again.
    named = [finding for finding in evidence.verdict["findings"] if finding["code"] != FITTED_STATE]
    if found == named:
        return f"{len(found)} findings, as the verdict says"
    if evidence.verdict["judged"]["code_sha256"] == code_digest():
        raise BrokenError(f"the guards find {_codes(found)} in this corpus", f"{evidence.verdict_file.name}: findings")
    return _by_other_guards([finding for finding in found if finding not in named], len(named))


def _by_other_guards(more: Sequence[Mapping[str, Any]], named: int) -> str:
    """A verdict of other sources is not forged because guards were added since; one that blocks is for a new judgement.

    Raises:
        NotCheckedError: If a guard of these sources finds what would have made the verdict a HOLD.
    """
    blocking = [finding for finding in more if finding["blocking"]]
    if blocking:
        what = f"judged by other sources of heldout; the guards of these find {_codes(blocking)}, which blocks"
        raise NotCheckedError(f"{what}: run the study again")
    return f"{named} findings named by other sources of heldout; the guards of these also find {_codes(more)}"


def _codes(findings: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(finding["code"] for finding in findings) or "nothing"


def _compare_rows(evidence: RunEvidence, corpus: Corpus) -> str:
    rows, _ = held_out_rows(corpus, evidence.split.folds)
    samples, path = evidence.predictions.samples, table_in(evidence.folder).name
    columns = {"sample_id": corpus.ids, "group": corpus.groups}
    if corpus.cells is not None:
        columns["cell"] = corpus.cells
    for name in (name for name in samples.columns if name.startswith(_SLICE)):
        columns[name] = corpus.features[name.removeprefix(_SLICE)].cast(pl.String).fill_null("")
    for name, values in columns.items():
        if name not in samples.columns or values.gather(rows).to_list() != samples[name].to_list():
            raise BrokenError("the column is not that of the corpus", f"{path}: column {name}")
    truth = target_columns(corpus.targets("verify", rows), corpus.manifest.outputs)
    for name, values in truth.items():
        if name not in samples.columns or values.to_list() != samples[name].to_list():
            raise BrokenError("the targets are not those of the corpus", f"{path}: column {name}")
    weight, stated = corpus.weights(rows), evidence.predictions.weight
    if not (np.array_equal(weight, stated) if weight is not None and stated is not None else weight is stated):
        raise BrokenError("the weights are not those of the corpus", f"{path}: column weight")
    every = corpus.targets("verify")
    compare_trivial(evidence, every, corpus.groups.to_numpy(), evidence.split.folds, corpus.weights())
    compared = "groups and targets" if weight is None else "groups, targets and weights"
    return f"{len(rows)} rows: ids, {compared} are those of the corpus"


def _same_content(evidence: RunEvidence) -> None:
    """Without the file, one guard can still be asked: two groups of one content."""
    digests = [group.sha256 for group in evidence.corpus.groups]
    named = any(finding["code"] == "HO-G002" and finding["blocking"] for finding in evidence.verdict["findings"])
    if evidence.corpus.told_by_content and len(set(digests)) < len(digests) and not named:
        where = f"{evidence.verdict_file.name}: findings"
        raise BrokenError("two groups have the same content, and the verdict does not say so", where)
