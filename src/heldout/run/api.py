"""A study, ready to run. ``heldout.Study`` is this one with a champion that is verified before it is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

from heldout.evidence import Listener
from heldout.report.notebook import progress
from heldout.run.champion import Champion, Opener
from heldout.run.check import Checked, check_study
from heldout.run.execute import execute
from heldout.run.prepare import Prepared, prepare
from heldout.run.resolve import Resolved, resolve
from heldout.run.result import Run
from heldout.study import BASE, StudyFile, load_study


@dataclass(frozen=True)
class Study:
    """A study file, ready to run.

    Example:
        >>> from heldout import Study
        >>> Study.load("study.yaml").run().verdict  # doctest: +SKIP
        'PROMOTE'
    """

    file: StudyFile
    open_champion: ClassVar[Opener] = staticmethod(Champion.open)

    @classmethod
    def load(cls, path: str | Path, sets: Sequence[str] = ()) -> Self:
        """Read a study.

        Args:
            path: The YAML file.
            sets: Overrides such as ``fit.epochs=5``; a run with overrides is a smoke run.

        Raises:
            StudyError: With file, line, column and a hint.
        """
        return cls(load_study(Path(path), sets))

    @property
    def variants(self) -> list[str]:
        """Ids of the variants, ``base`` first."""
        return [BASE, *(variant.id for variant in self.file.spec.variants)]

    def resolve(self, variant: str = BASE) -> Resolved:
        """The study with one variant applied and every default filled in."""
        return resolve(self.file, variant, type(self).open_champion)

    def prepare(self, variant: str = BASE, *, runs: str | Path | None = None) -> Prepared:
        """Read, split, guard and plan, without spending compute."""
        return prepare(self.resolve(variant), Path(runs) if runs else self.file.spec.runs)

    def check(self, variant: str = BASE) -> Checked:
        """Ask every guard, without a run: what is found here would make its verdict HOLD."""
        return check_study(self.resolve(variant))

    def run(
        self,
        variant: str = BASE,
        *,
        runs: str | Path | None = None,
        workers: int | None = None,
        listener: Listener | None = None,
    ) -> Run:
        """Run one variant over all its seeds and folds, or go on with a run that was interrupted.

        Args:
            variant: Id of a variant, or ``base``.
            runs: Folder of run directories; the study's own by default.
            workers: Processes for backbones that are fitted unit by unit.
            listener: Called with each progress event; by default a notebook shows them in one line.
        """
        prepared = self.prepare(variant, runs=runs)
        execute(prepared, workers=workers, listener=listener or progress())
        return Run(prepared.folder.path)
