"""The corpus of a price panel: a group is a block of dates, a cell is one date, the label says when it matured."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import polars as pl

from heldout.corpus import Corpus, CorpusManifest, Known, Reader, Skipped, group_records, group_spans
from heldout.domains.market.panel.options import PanelOptions
from heldout.domains.market.panel.panel import Panel, read_panel
from heldout.domains.market.panel.rows import Rows, build_rows
from heldout.errors import CorpusError
from heldout.evidence import digest, sha256_file
from heldout.study.reads import Reads, tracked

# What is predicted: of one file, each such outcome makes a corpus of its own.
_OUTCOME = ("forward_days", "block", "label", "demean")


class MarketPanelReader(Reader):
    """Reads Parquet or CSV, one row an asset and date.

    Only rows whose label is known are samples. How far labels look ahead is in the groups' spans, and a split in time
    purges by these and by nothing else. Cells are dates, so ``srocc`` within cells is the mean rank IC over dates.
    """

    name: ClassVar[str] = "market_panel"
    Options = PanelOptions
    options: PanelOptions

    def read(self) -> Corpus:
        """Read the panel and build features and labels.

        Raises:
            CorpusError: For a bad row, or if no row has both features and a label.
            StudyError: For an option that nothing reads.
        """
        options, reads = tracked(self.options)
        panel = read_panel(options)
        rows = build_rows(panel, options)
        corpus = self._corpus(panel, rows, options)
        _check(reads)
        return corpus

    def known_before(self, panel: Panel, date: int) -> Corpus:
        """The corpus as it was before a date: from no price of that date or later, so only of labels known by then.

        Args:
            panel: This reader's panel.
            date: Number of the date.

        Raises:
            CorpusError: If no label had matured.
        """
        past = panel.until(date)
        return self._corpus(past, build_rows(past, self.options), self.options)

    def inputs(self) -> pl.DataFrame:
        """Every row that can be predicted, matured or not: date, asset and the features; what a live model is fed."""
        panel = read_panel(self.options)
        rows = build_rows(panel, self.options)
        columns = {"date": panel.dates[rows.date], "asset": np.array(panel.assets)[rows.asset]}
        return pl.DataFrame(columns).hstack(rows.features)

    def _corpus(self, panel: Panel, rows: Rows, options: PanelOptions) -> Corpus:
        path, chosen = options.path, rows.labelled
        if not len(chosen):
            raise CorpusError(
                "no row has all features and a matured label",
                where=str(path),
                hint=f"{len(panel.dates)} dates; shorten windows or `forward_days`, or lower `min_assets`",
            )
        date, horizon = rows.date[chosen], options.forward_days
        names = np.array(panel.names)
        starts = names[:: options.block_dates]
        groups = pl.Series("group", starts[date // options.block_dates])
        moments = pl.Series(panel.dates).cast(pl.Datetime("us"))
        time, matures = moments.gather(date), moments.gather(date + horizon)
        features, target = rows.features[chosen], rows.label[chosen]
        cells = pl.Series("cell", names[date])
        file_sha256 = sha256_file(path)
        ids = pl.DataFrame({"date": cells, "asset": np.array(panel.assets)[rows.asset[chosen]]})
        return Corpus(
            ids=ids.select(sample_id=pl.format("{}/{}", "date", "asset"))["sample_id"],
            groups=groups,
            cells=cells,
            features=features,
            truth=Known(target),
            time=time,
            manifest=CorpusManifest(
                reader=self.name,
                path=path.name,
                sha256=_identity(file_sha256, self.options),
                rows=len(chosen),
                task="regression",
                target=_target_name(options),
                features=tuple(features.columns),
                groups=group_records(groups, features, target, path.name, group_spans(groups, time, matures)),
                skipped=_skipped(starts, groups),
                facts=_facts(panel, rows, options) | {"file_sha256": file_sha256},
            ),
        )


def _check(reads: Reads) -> None:
    reads.check("corpus", exempt=PanelOptions.location)


def _identity(file_sha256: str, options: PanelOptions) -> str:
    """The file's own digest for the usual outcome; another horizon has other labels and groups: another corpus."""
    asked = {name: getattr(options, name) for name in _OUTCOME}
    usual = {name: PanelOptions.model_fields[name].default for name in _OUTCOME}
    return file_sha256 if asked == usual else digest({"file_sha256": file_sha256, **asked})


def _target_name(options: PanelOptions) -> str:
    relative = "_minus_universe" if options.demean else ""
    return f"{options.label}_return_{options.forward_days}d{relative}"


def _skipped(starts: Any, groups: pl.Series) -> tuple[Skipped, ...]:
    """Blocks of the panel that are not in the corpus: at its begin features look back too far, at its end labels."""
    used = set(groups.unique())
    first, last = min(used), max(used)
    reasons = {
        name: "the features are not defined yet"
        if name < first
        else "no label has matured"
        if name > last
        else "too few assets have all features and a label"
        for name in (str(start) for start in starts)
        if name not in used
    }
    return tuple(Skipped(name, reason) for name, reason in sorted(reasons.items()))


def _facts(panel: Panel, rows: Rows, options: PanelOptions) -> dict[str, object]:
    return {
        "assets": list(panel.assets),
        "dates": len(panel.dates),
        "first_date": str(panel.dates[0]),
        "last_date": str(panel.dates[-1]),
        "forward_days": options.forward_days,
        "block_dates": options.block_dates,
        "index": panel.index is not None,
        "universe_changes": bool((panel.member != panel.member[:1]).any()),
        "left_out": rows.left_out,
    }
