"""What every reader keeps: the contract of ``heldout.corpus.Reader``, as tests."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
from pydantic import ValidationError

from heldout.corpus import Corpus, Reader
from heldout.errors import CorpusError, HeldoutError
from heldout.evidence import sha256_file
from heldout.testing.corpora import small_table
from heldout.testing.declared import declared


class ReaderConformance:
    """Tests of a reader; a subclass sets ``reader`` and ``options``, and says how samples are written as its file.

    Attributes:
        reader: The class.
        options: Its block, without ``path``.
        group: Column of ``samples`` that names the group.
        target: Column of ``samples`` that is predicted.
        id: Column of ``samples`` that names a sample; None where the file has no names.
        file: Name of the file.
        ordered: True where the order of rows is part of what they say, as in a series.
    """

    reader: ClassVar[type[Reader]]
    options: ClassVar[Mapping[str, Any]] = {}
    group: ClassVar[str] = "site"
    target: ClassVar[str] = "y"
    id: ClassVar[str | None] = None
    file: ClassVar[str] = "samples.csv"
    ordered: ClassVar[bool] = False

    def samples(self) -> pl.DataFrame:
        """Good samples, in the columns that ``write`` knows."""
        return small_table()

    def write(self, samples: pl.DataFrame, path: Path) -> None:
        """Write samples in the reader's format; a missing value is null."""
        samples.write_csv(path)

    def test_it_is_declared_under_its_name(self) -> None:
        """A study that names it would not find it."""
        found = declared("readers", self.reader.name)
        assert found is self.reader, f"the name {self.reader.name!r} leads to {found!r}"

    def test_it_reads_its_file(self, tmp_path: Path) -> None:
        """Rows, groups and targets would not belong together."""
        corpus = self._corpus(self.samples(), tmp_path)
        manifest, rows, target = corpus.manifest, corpus.features.height, corpus.targets("verify")
        assert rows > 0, "a corpus without rows is an error"
        assert {rows} == {manifest.rows, len(corpus.ids), len(corpus.groups), len(target)}, "one entry a row"
        assert self.reader.name == manifest.reader, "the manifest names the reader"
        digest = manifest.facts.get("file_sha256", manifest.sha256)
        assert sha256_file(tmp_path / self.file) == digest, "the manifest has the sha256 of the file"
        assert tuple(corpus.features.columns) == manifest.features, "the manifest lists the features, in order"
        assert self.target not in corpus.features.columns, "the target is no feature"
        counts = {str(name): size for name, size in corpus.groups.value_counts().iter_rows()}
        assert counts == {each.id: each.samples for each in manifest.groups}, "the manifest has every group"
        weight = corpus.weights()
        assert (weight is None) == (manifest.weight is None), "the manifest names the column of weights"
        if weight is not None:
            assert rows == len(weight), "one weight a row"
            assert np.float64 == weight.dtype, "a weight is float64"
            assert np.isfinite(weight).all(), "a weight that is not finite is refused"
            assert (weight >= 0).all(), "a negative weight is refused"
            assert manifest.weight not in corpus.features.columns, "a weight is no feature"
        if corpus.task == "regression":
            assert np.float64 == target.dtype, "the target of a regression is float64"
            assert np.isfinite(target).all(), "a target that is not finite is refused"
        else:
            assert "U" == target.dtype.kind, "labels are text"

    def test_sample_ids_are_unique(self, tmp_path: Path) -> None:
        """A prediction would be matched with the truth of another sample."""
        ids = self._corpus(self.samples(), tmp_path).ids
        assert pl.String == ids.dtype, "ids are text"
        assert ids.n_unique() == len(ids), f"the id {ids.filter(ids.is_duplicated())[0]!r} is that of two samples"

    def test_equal_files_are_one_corpus(self, tmp_path: Path) -> None:
        """A run would be fitted again because the file was copied, or name somebody's folder."""
        for name in "ab":
            (tmp_path / name).mkdir()
        one, two = (self._corpus(self.samples(), tmp_path / name) for name in "ab")
        assert one.manifest == two.manifest, "the manifest has no path but the file's name, and no clock"

    def test_order_of_rows_changes_no_group(self, tmp_path: Path) -> None:
        """A copy of a group would not be found, and a look not be counted, once its rows were sorted."""
        if self.ordered:
            return
        samples = self.samples()
        mixed = samples[np.random.default_rng(0).permutation(samples.height)]
        assert self._digests(samples, tmp_path) == self._digests(mixed, tmp_path), "use `heldout.corpus.group_records`"

    def test_content_changes_its_group_alone(self, tmp_path: Path) -> None:
        """An edited row would go unnoticed, or every group look new."""
        samples = self.samples()
        values = samples.filter(samples[self.group] == samples[self.group][0])[self.target]
        other = values.filter(values != values[0])
        assert len(other), "let two samples of the first group have different targets"
        moved = samples.with_columns(pl.concat([other[:1], samples[self.target][1:]]))
        before, after = self._digests(samples, tmp_path), self._digests(moved, tmp_path)
        changed = {name for name in before | after if before.get(name) != after.get(name)}
        assert {str(samples[self.group][0])} == changed, (
            f"another target in one row changes the groups {sorted(changed)}"
        )

    def test_a_missing_target_is_refused(self, tmp_path: Path) -> None:
        """The row would be dropped in silence, or scored as NaN."""
        self._refused(self._without(self.target), tmp_path, "a missing target")

    def test_a_missing_group_is_refused(self, tmp_path: Path) -> None:
        """Rows of one subject could stand on both sides of the split."""
        self._refused(self._without(self.group), tmp_path, "a missing group")

    def test_a_repeated_sample_is_refused(self, tmp_path: Path) -> None:
        """A sample would count twice."""
        if self.id is not None:
            samples = self.samples()
            self._refused(pl.concat([samples, samples[:1]]), tmp_path, "a repeated sample")

    def test_a_file_that_is_not_there_is_refused(self, tmp_path: Path) -> None:
        """A wrong path would end in a traceback."""
        try:
            self._bound(tmp_path).read()
        except HeldoutError as error:
            assert error.where, "say in `where` which file it is"
            return
        raise AssertionError("a file that is not there was read")

    def test_options_are_a_frozen_block(self, tmp_path: Path) -> None:
        """A misspelt option would be ignored."""
        reader = self._bound(tmp_path)
        assert type(reader.options).model_config.get("frozen"), "derive `Options` from heldout.corpus.ReaderOptions"
        assert reader.options == pickle.loads(pickle.dumps(reader)).options, "readers travel by pickle"  # noqa: S301
        try:
            self.reader.Options.model_validate({**self.options, "path": tmp_path, "no_such_option": 1})
        except ValidationError:
            return
        raise AssertionError("derive `Options` from heldout.corpus.ReaderOptions: it refuses unknown keys")

    def _bound(self, folder: Path) -> Reader:
        return self.reader(self.reader.Options.model_validate({**self.options, "path": folder / self.file}))

    def _corpus(self, samples: pl.DataFrame, folder: Path) -> Corpus:
        self.write(samples, folder / self.file)
        return self._bound(folder).read()

    def _digests(self, samples: pl.DataFrame, folder: Path) -> dict[str, str]:
        return {each.id: each.sha256 for each in self._corpus(samples, folder).manifest.groups}

    def _without(self, column: str) -> pl.DataFrame:
        """The samples with one value missing, in the third row."""
        samples = self.samples()
        third = pl.int_range(samples.height) == 2
        return samples.with_columns(pl.when(third).then(None).otherwise(column).alias(column))

    def _refused(self, samples: pl.DataFrame, folder: Path, what: str) -> None:
        try:
            self._corpus(samples, folder)
        except CorpusError as error:
            assert error.where, f"{what} is refused without a place: say in `where` which file, row and column"
            return
        raise AssertionError(f"{what} is read as if nothing were wrong: raise CorpusError with its place")
