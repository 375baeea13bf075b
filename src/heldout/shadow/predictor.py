"""What a predicting process runs: one version on one batch, out of its own run directory and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from heldout.backbone import Backbone, ClassScores, FeaturesView, FloatArray
from heldout.corpus.spans import TimeSpan, ticks
from heldout.documents.names import CORPUS_FILE, PREDICTIONS_FILE, SPLIT_FILE
from heldout.errors import InputError
from heldout.evidence import plain_path, read_json
from heldout.registry.rundir import check_registered
from heldout.run.layout import RunFolder
from heldout.run.resolve import load_backbone
from heldout.shadow.batch import Batch
from heldout.shadow.inputs import AS_OF, Inputs, read_inputs
from heldout.split import Fold, Split, read_split
from heldout.zoo.process import answer

OUTPUT = PREDICTIONS_FILE


def predict_batch(task: Mapping[str, Any]) -> dict[str, Any]:
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
    folds = live_folds(split)
    values = _predicted(backbone, RunFolder(folder), config["seeds"], folds, inputs)
    seen, through = _in_sample(inputs, folder, manifest, _learnt(split, folds))
    frame = inputs.keys.with_columns(_as_of(inputs), in_sample=pl.Series(seen)).hstack(_columns(values))
    frame.write_ndjson(Path(task["work"]) / OUTPUT)
    bad = frame.select(pl.col("prediction").is_null() | _not_finite(frame["prediction"])).to_series()
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


def _predicted(
    backbone: Backbone, folder: RunFolder, seeds: Sequence[int], folds: Sequence[Fold], inputs: Inputs
) -> FloatArray | ClassScores:
    """Mean over seeds and folds; one model in memory at a time."""
    total: dict[str, FloatArray] = {}
    classes = False
    for seed in seeds:
        for fold in folds:
            model = backbone.load(folder.unit(seed, fold.id))
            found = backbone.predict(model, FeaturesView(inputs.features))
            classes = isinstance(found, ClassScores)
            labels = found.classes if isinstance(found, ClassScores) else ("",)
            values = found.probability if isinstance(found, ClassScores) else np.asarray(found).reshape(-1, 1)
            if values.shape != (inputs.features.height, len(labels)):
                raise InputError(
                    f"the backbone answered {values.shape[0]} predictions for {inputs.features.height} rows",
                    where=backbone.name,
                    hint="`predict` answers every row, in order",
                )
            for place, label in enumerate(labels):
                total[label] = total.get(label, np.zeros(len(values))) + values[:, place]
    count = len(seeds) * len(folds)
    if not classes:
        return total[""] / count
    known = tuple(sorted(total))
    return ClassScores(known, np.stack([total[label] / count for label in known], axis=1))


def _as_of(inputs: Inputs) -> list[pl.Series]:
    """The moment of each row, where rows have dates."""
    if inputs.time is None or inputs.time.dtype.is_numeric():
        return []
    return [inputs.time.dt.strftime("%Y-%m-%dT%H:%M:%S%.fZ").alias(AS_OF)]


def _columns(values: FloatArray | ClassScores) -> pl.DataFrame:
    if not isinstance(values, ClassScores):
        return pl.DataFrame({"prediction": values})
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
    held = pl.read_ndjson(plain_path(folder / PREDICTIONS_FILE), infer_schema_length=None).select("sample_id", "group")
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
