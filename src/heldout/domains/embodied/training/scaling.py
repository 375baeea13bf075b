"""Standardising on train episodes, with a ledger of them: for world models and for policies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from heldout.backbone import FloatArray
from heldout.errors import CorpusError, InputError, RefusedError

SCHEMA = "heldout.feature-normaliser/1"
LEDGER_CODE = "HO-G106"
_DIGITS = 9
_STILL = 0.05  # a feature moves within an episode if its spread there is at least this share of its whole spread


@dataclass(frozen=True)
class Scaling:
    """Mean and spread of features.

    Attributes:
        mean: ``[features]``.
        std: ``[features]``; 1 where nothing is kept.
        kept: Features that change within an episode. One that does not says which episode it is, and no more.
        fitted_on: Episodes.
    """

    mean: FloatArray
    std: FloatArray
    kept: FloatArray
    fitted_on: tuple[str, ...]

    @classmethod
    def fit(cls, values: FloatArray, episodes: Sequence[str], *, drop_still: bool = True) -> Self:
        """Fit on rows of train windows.

        Args:
            values: ``[rows, features]``.
            episodes: Of each row.
            drop_still: Leave features out that do not change within an episode.

        Raises:
            CorpusError: If nothing is left.
        """
        mean, std = values.mean(axis=0), values.std(axis=0)
        moving = std > 1e-6 * (1 + np.abs(mean))
        if drop_still:
            codes = np.unique(np.asarray(episodes), return_inverse=True)[1]
            own = np.stack([values[codes == code].mean(axis=0) for code in range(codes.max() + 1)])[codes]
            moving &= (values - own).std(axis=0) >= _STILL * std
        if not moving.any():
            raise CorpusError("no feature changes within an episode", where="features", hint="longer episodes")
        std = np.where(moving, std, 1.0)
        return cls(_rounded(mean), _rounded(std), moving, tuple(sorted(set(episodes))))

    def apply(self, values: FloatArray) -> FloatArray:
        """Standardised features that are kept, ``[..., kept]``."""
        found: FloatArray = (values[..., self.kept] - self.mean[self.kept]) / self.std[self.kept]
        return found

    def undo(self, standard: FloatArray, rest: FloatArray) -> FloatArray:
        """Raw features; those that are not kept are taken from ``rest``."""
        found = np.array(rest, dtype=np.float64)
        found[..., self.kept] = standard * self.std[self.kept] + self.mean[self.kept]
        return found

    def to_json(self) -> dict[str, object]:
        """Plain JSON."""
        return {
            "schema": SCHEMA,
            "mean": self.mean.tolist(),
            "std": self.std.tolist(),
            "kept": self.kept.tolist(),
            "fitted_on": list(self.fitted_on),
        }

    @classmethod
    def parse(cls, document: Mapping[str, Any], *, where: str) -> Self:
        """Read back what ``to_json`` gave.

        Raises:
            InputError: If it is not of the schema, or not finite.
        """
        try:
            mean, std = (np.array(document[key], np.float64) for key in ("mean", "std"))
            kept = np.array(document["kept"], bool)
            good = mean.shape == std.shape == kept.shape and np.isfinite(mean).all() and (std > 0).all()
            if document["schema"] != SCHEMA or not good or not np.isfinite(std).all():
                raise ValueError("mean, std and kept do not fit together")
            return cls(mean, std, kept, tuple(str(name) for name in document["fitted_on"]))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"the normaliser is wrong: {error}", where=where, hint="train again") from None


def require_train_only(fitted_on: Iterable[str], train: Iterable[str], where: str) -> None:
    """See that statistics were fitted on train episodes, and on some.

    Raises:
        RefusedError: If not.
    """
    names = set(fitted_on)
    foreign = sorted(names - set(train))
    if names and not foreign:
        return
    what = (
        f"the statistics were fitted on {len(foreign)} episodes that are not in train"
        if names
        else ("the statistics do not say what they were fitted on")
    )
    shown = ", ".join(foreign[:5])
    raise RefusedError(
        what, where=f"{where}: {shown}" if shown else where, hint="fit them on train episodes alone", code=LEDGER_CODE
    )


def _rounded(values: FloatArray) -> FloatArray:
    """As JSON will give it back, so that fitting and reading agree."""
    return np.array([float(f"{value:.{_DIGITS}g}") for value in values.tolist()])
