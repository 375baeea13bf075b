"""What the training process runs: one variant, from corpus to verdict. It knows of no registry and can reach none."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from heldout.errors import StaleError, UnitError
from heldout.evidence.machine import machine_error
from heldout.run.apart.foreign import is_foreign
from heldout.run.execute import execute
from heldout.run.finished import finished_verdict
from heldout.run.fitted_state import Trial, fit_trial
from heldout.run.planning import gate_plan
from heldout.run.prepare import Prepared, prepare
from heldout.run.result import Run
from heldout.study import load_study
from heldout.verify import verified_champion
from heldout.zoo.process import answer
from heldout.zoo.roster import checked

_ROWS_OF_A_GROUP = 20


def train_variant(task: Mapping[str, Any]) -> dict[str, object]:
    """Train, score and judge one variant; a finished run of which nothing changed is left as it is.

    Args:
        task: Study, variant with its identity, folder of runs, number of workers.

    Raises:
        HeldoutError: If anything of it fails.
    """
    resolved = checked(load_study(Path(task["study"])), task["variant"], verified_champion)
    if resolved.sha256 != task["variant_sha256"]:
        raise StaleError("the study was edited meanwhile", where=task["study"], hint="run the command again")
    prepared = prepare(resolved, Path(task["runs"]))
    unchanged = finished_verdict(prepared) is not None
    plan = gate_plan(prepared)
    if not unchanged:
        try_out(prepared)
        execute(prepared, workers=task["workers"])
    run = Run(prepared.folder.path)
    return {
        "run": str(run.folder),
        "verdict": run.verdict,
        "reasons": list(run.document["reasons"]),
        "unchanged": unchanged,
        "could_promote": plan["can_promote"],
        "could_not": [rule["sentence"] for rule in plan["rules"] if not rule["can_pass"]],
    }


def try_out(prepared: Prepared) -> None:
    """Fit one fold on a few rows and a short budget: what cannot work at all fails in seconds.

    Raises:
        UnitError: If it fails on all rows too; few may lack what a fit needs, such as a second class.
    """
    main, fold = prepared.resolved.main, prepared.split.folds[0]
    with tempfile.TemporaryDirectory(prefix="heldout-try-") as name:
        for place, most in enumerate((_ROWS_OF_A_GROUP, None)):
            folder = Path(name) / str(place)
            folder.mkdir()
            backbone = main.backbone if is_foreign(main.backbone) else main.backbone.quick()
            try:
                fit_trial(Trial(prepared.resolved.reader, backbone, (fold,), main.seeds[0], (), most, folder))
            except Exception as error:
                refused = machine_error(error)
                if refused is not None:
                    raise refused from error
                if most is None:
                    raise UnitError(
                        f"it cannot be fitted: {type(error).__name__}: {error}",
                        where=f"{main.id}, fold {fold.id}, before the run",
                        hint="mend the variant; `heldout check` shows the same",
                    ) from error
            else:
                return


if __name__ == "__main__":
    answer(train_variant)
