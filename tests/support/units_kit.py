"""One unit of a prepared run at a time, as a worker is told of it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from heldout.run import Prepared
from heldout.run.units.compute import Argument, Inputs, argument_of, compute_unit
from heldout.run.units.landing import land_unit
from heldout.run.units.unit import Unit


def told(prepared: Prepared, unit: Unit) -> tuple[Argument, Inputs]:
    """What a worker is told of a unit of the variant itself, and what this machine has for it."""
    reader, corpus_sha256 = prepared.resolved.reader, prepared.corpus.manifest.sha256
    argument = argument_of(unit, reader, prepared.resolved.main.backbone, corpus_sha256)
    return argument, Inputs({corpus_sha256: reader.options.path}, Path(tempfile.gettempdir()))


def land(prepared: Prepared, unit: Unit) -> None:
    """Compute a unit and put it into the run."""
    land_unit(unit, compute_unit(*told(prepared, unit)))
