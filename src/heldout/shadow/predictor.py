"""What a predicting process runs: one version on one batch, out of its own run directory and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from heldout.backbone import Backbone, ClassScores, FeaturesView, FloatArray
from heldout.backbone.asked import AskedBackbone, asked_of
from heldout.backbone.beside.base import BesideBackbone
from heldout.corpus.spans import TimeSpan, ticks
from heldout.documents.names import CORPUS_FILE, PREDICTIONS_FILE, SPLIT_FILE
from heldout.errors import InputError
from heldout.evidence import read_json
from heldout.registry.rundir import check_registered
from heldout.run.apart.foreign import Apart
from heldout.run.asked.held_out import read_trained_on
from heldout.run.asked.model_file import find_model
from heldout.run.layout import RunFolder
from heldout.run.resolve import load_backbone
from heldout.shadow.batch import Batch, Predicted
from heldout.shadow.inputs import AS_OF, Inputs, read_inputs
from heldout.split import Fold, Split, read_split
from heldout.task.table import read_table, table_in
from heldout.zoo.process import answer

OUTPUT = PREDICTIONS_FILE


def predict_batch(task: Mapping[str, Any]) -> Predicted:
    """Verify a version, load its models, predict, and write the predictions into the working folder.

    Args:
        task: Content and run directory of the version, batch, input file, working folder.

    Raises:
        TamperedError: If a file is not the one that was registered.
        InputError: If the batch does not fit the version.
    """
    content, folder = task["content"], Path(task["run"])
    check_registered(content, folder)
    config = content["config"]
    batch = Batch.from_json(task["batch"], "task")
    manifest = read_json(folder / CORPUS_FILE)
    split = read_split(read_json(folder / SPLIT_FILE), [group["id"] for group in manifest["groups"]])
    inputs = read_inputs(Path(task["input"]), batch, config["corpus"], manifest)
    backbone = load_backbone(config["backbone"], config["fit"])
    folds, outputs = live_folds(split), tuple(manifest.get("outputs") or ())
    asked = asked_of(backbone)
    if asked is None:
        values = _predicted(backbone, RunFolder(folder), config["seeds"], folds, inputs, outputs)
        learnt = _learnt(split, folds)
    else:
        values = _asked(asked, folder, inputs)
        learnt = _learnt_elsewhere(folder, config["models"][""]["held_out"])
    seen, through = _in_sample(inputs, folder, manifest, learnt)
    frame = inputs.keys.with_columns(_as_of(inputs), in_sample=pl.Series(seen)).hstack(_columns(values, outputs))
    frame.write_ndjson(Path(task["work"]) / OUTPUT)
    said = frame.select(_names(outputs))
    bad = pl.Series([False]).new_from_index(0, frame.height)
    for column in said:
        bad = bad | column.is_null() | _not_finite(column)
    return {
        "rows": frame.height,
        "in_sample": int(seen.sum()),
        "non_finite": int(bad.sum()),
        "trained_through": through,
        "folds": [fold.id for fold in folds],
        "seeds": list(config["seeds"]),
    }


def live_folds(split: Split) -> tuple[Fold, ...]:
    """The folds whose models predict what is new.

    A split whose folds go forward in time ends with the model that knows most of the past: it alone. In any other
    split no fold knows more than another, and all of them do.
    """
    return split.folds[-1:] if split.ordered else split.folds


def _learnt(split: Split, folds: Sequence[Fold]) -> set[str]:
    """Groups that a model of any of the folds trained on, or was chosen by."""
    unseen = set(split.groups)
    for fold in folds:
        unseen &= {*fold.test, *fold.exceptions}
    return set(split.groups) - unseen


def _learnt_elsewhere(folder: Path, held_out: Mapping[str, Any] | None) -> set[str]:
    """Groups that a model from elsewhere trained on, as far as the run knows."""
    manifest = read_trained_on(folder, held_out)
    return set() if manifest is None else {str(each["id"]) for each in manifest["groups"]}


def _asked(asked: AskedBackbone, folder: Path, inputs: Inputs) -> FloatArray | ClassScores:
    """What the model from elsewhere answers, which is one for all folds.

    Raises:
        PrerequisiteError: If it is not where the run's record says.
    """
    found = asked.at(find_model(folder, asked.sha256, asked.content_at))
    values = found.predict(found.load(found.found()), FeaturesView(inputs.features))
    count = len(values.probability if isinstance(values, ClassScores) else values)
    if count != inputs.features.height:
        raise _wrong_count(count, inputs, asked)
    return values


def _wrong_count(count: int, inputs: Inputs, backbone: Backbone) -> InputError:
    return InputError(
        f"the backbone answered {count} predictions for {inputs.features.height} rows",
        where=backbone.name,
        hint="`predict` answers every row, in order",
    )


def _predicted(
    backbone: Backbone,
    folder: RunFolder,
    seeds: Sequence[int],
    folds: Sequence[Fold],
    inputs: Inputs,
    outputs: Sequence[str],
) -> FloatArray | ClassScores:
    """Mean over seeds and folds; one model in memory at a time."""
    total: dict[str, FloatArray] = {}
    classes = False
    for seed in seeds:
        for fold in folds:
            found = _answer(backbone, folder.unit(seed, fold.id), FeaturesView(inputs.features))
            classes = isinstance(found, ClassScores)
            labels = found.classes if isinstance(found, ClassScores) else outputs or ("",)
            values = found.probability if isinstance(found, ClassScores) else np.asarray(found)
            values = values.reshape(len(values), -1)
            if values.shape != (inputs.features.height, len(labels)):
                raise _wrong_count(values.shape[0], inputs, backbone)
            for place, label in enumerate(labels):
                total[label] = total.get(label, np.zeros(len(values))) + values[:, place]
    count = len(seeds) * len(folds)
    if not classes:
        return np.column_stack([total[name] for name in outputs]) / count if outputs else total[""] / count
    known = tuple(sorted(total))
    return ClassScores(known, np.stack([total[label] / count for label in known], axis=1))


def _answer(backbone: Backbone, folder: Path, view: FeaturesView) -> FloatArray | ClassScores:
    """What the model in a folder answers; code that a run brings along is shut in here as it was when it was judged."""
    if isinstance(backbone, BesideBackbone):
        return Apart(backbone, ()).ask(folder, view).predicted
    return backbone.predict(backbone.load(folder), view)


def _as_of(inputs: Inputs) -> list[pl.Series]:
    """The moment of each row, where rows have dates."""
    if inputs.time is None or inputs.time.dtype.is_numeric():
        return []
    return [inputs.time.dt.strftime("%Y-%m-%dT%H:%M:%S%.fZ").alias(AS_OF)]


def _names(outputs: Sequence[str]) -> list[str]:
    """Columns of what is predicted: one, or one for each of several targets."""
    return [f"prediction_{name}" for name in outputs] or ["prediction"]


def _columns(values: FloatArray | ClassScores, outputs: Sequence[str]) -> pl.DataFrame:
    if not isinstance(values, ClassScores):
        return pl.DataFrame(dict(zip(_names(outputs), values.T if outputs else [values], strict=True)))
    labels = np.array(values.classes)[values.probability.argmax(axis=1)]
    scores = {f"p_{name}": values.probability[:, place] for place, name in enumerate(values.classes)}
    return pl.DataFrame({"prediction": labels, **scores})


def _not_finite(column: pl.Series) -> pl.Series:
    return ~column.is_finite() if column.dtype.is_float() else pl.Series([False]).new_from_index(0, len(column))


def _in_sample(
    inputs: Inputs, folder: Path, manifest: Mapping[str, Any], train: set[str]
) -> tuple[pl.Series, float | str | None]:
    """Which rows the models had learnt from, as far as times, ids or groups tell; how far in time they had learnt.

    The run keeps ids of rows that were held out. A group that never was, such as those of a fixed split that train, is
    told by its name: where the batch has the column of groups, all of its rows count as learnt from.
    """
    seen = pl.Series([False]).new_from_index(0, inputs.features.height)
    held = read_table(table_in(folder)).select("sample_id", "group")
    if inputs.groups is not None:
        seen = seen | inputs.groups.is_in(list(train - set(held["group"].to_list())))
    if inputs.named:
        known = held.filter(pl.col("group").is_in(list(train)))["sample_id"].cast(pl.String)
        seen = seen | inputs.keys["sample_id"].is_in(known.to_list())
    spans = [TimeSpan(**group["span"]) for group in manifest["groups"] if group["id"] in train and group.get("span")]
    if not spans or inputs.time is None:
        return seen, None
    last = max((span.matures for span in spans), key=ticks)
    bound = ticks(last)
    time = inputs.time if inputs.time.dtype.is_numeric() else inputs.time.dt.epoch("us")
    return seen | (time.cast(pl.Float64) <= bound), last


if __name__ == "__main__":
    answer(predict_batch)
