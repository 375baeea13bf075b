"""An export of pairs as a training reads it: checked, and scaled by its train rows alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heldout.backbone import FloatArray
from heldout.domains.embodied.episodes.observed import check_names
from heldout.domains.embodied.training.files import load_tensors
from heldout.domains.embodied.training.scaling import Scaling, require_train_only
from heldout.domains.embodied.world.export import FEATURES_FILE, MANIFEST_FILE, PAIRS_FILE, SCHEMA, FutureManifest
from heldout.domains.embodied.world.model import NORMALISER_FILE
from heldout.domains.embodied.world.pairs import check_pairs
from heldout.errors import CorpusError, InputError, RefusedError, TamperedError
from heldout.evidence import read_json, read_json_lines, sha256_file


@dataclass(frozen=True)
class FutureData:
    """An export that was checked.

    Attributes:
        folder: Of the export.
        manifest: Of the export.
        rows: Of ``future_windows.jsonl``.
        arrays: Raw features by name, float64 ``[rows, width]``.
    """

    folder: Path
    manifest: FutureManifest
    rows: Sequence[Mapping[str, Any]]
    arrays: Mapping[str, FloatArray]

    @classmethod
    def open(cls, folder: Path) -> FutureData:
        """Read an export and refuse what must not be learnt from.

        Raises:
            TamperedError: If a file is not the one that the manifest names.
            RefusedError: If a feature is language (HO-G135), or a future is not where the horizon says (HO-G136).
        """
        manifest: FutureManifest = read_json(folder / MANIFEST_FILE)
        if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
            raise InputError("no pairs are there", where=str(folder), hint="heldout embodied world export makes them")
        rows = read_json_lines(folder / PAIRS_FILE)
        findings = check_names(manifest["features"]["names"], str(folder / MANIFEST_FILE))
        findings += check_pairs(rows, float(manifest["settings"]["horizon_seconds"]), str(folder / PAIRS_FILE))
        if findings:
            one = findings[0]
            raise RefusedError(one.what, where=one.where, hint=one.hint, code=one.code)
        for name, sha256 in manifest["files"].items():
            if sha256_file(folder / name) != sha256:
                raise TamperedError(f"{name} is not what the manifest names", where=str(folder), hint="export again")
        arrays = {name: values.astype(np.float64) for name, values in load_tensors(folder / FEATURES_FILE).items()}
        bad = [name for name, values in arrays.items() if not np.isfinite(values).all() or len(values) != len(rows)]
        if bad:
            raise CorpusError(
                f"{', '.join(bad)}: not finite, or not a row a pair", where=str(folder), hint="export again"
            )
        return cls(folder, manifest, rows, arrays)

    def of(self, split: str) -> NDArray[np.int64]:
        """Rows of a split."""
        return np.array([n for n, row in enumerate(self.rows) if row["split"] == split], dtype=np.int64)

    def episodes(self, rows: NDArray[np.int64]) -> list[str]:
        """Episode of each row."""
        return [str(self.rows[n]["episode_id"]) for n in rows]


def fit_scalings(data: FutureData, conditioning: str) -> tuple[Scaling, Scaling | None]:
    """Fit on train rows alone, and see that the ledger says so."""
    rows = data.of("train")
    if not len(rows):
        raise CorpusError("there is no train pair", where=str(data.folder), hint="select more episodes")
    episodes = data.episodes(rows)
    both = np.concatenate([data.arrays["present"][rows], data.arrays["future"][rows]])
    scaling = Scaling.fit(both, [*episodes, *episodes])
    require_train_only(scaling.fitted_on, data.manifest["episodes"].get("train", []), NORMALISER_FILE)
    if conditioning == "none":
        return scaling, None
    return scaling, Scaling.fit(data.arrays["actions"][rows], episodes, drop_still=False)
