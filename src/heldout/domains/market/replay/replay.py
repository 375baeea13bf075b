"""History re-lived, vintage by vintage, with only what was known then: what would each rule have served?

For every vintage each arm is refitted on labels that had matured, predicts the dates that follow, and is scored on what
became of them. Two arms or more are noise, so that a rule which chases luck is seen to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from heldout.api import Study
from heldout.domains.market.board.outputs import checks_against, expected_scale, notes_on
from heldout.domains.market.board.scoring import Policy, rank_ic
from heldout.domains.market.panel.panel import Matrix, Panel, read_panel
from heldout.domains.market.replay.relive import Relived, ReplayArm, Task, relive
from heldout.domains.market.replay.report import Traded, arm_document, mean_realised, rule_document, selection_tells
from heldout.domains.market.replay.vintages import Vintage, vintages
from heldout.engine import run_tasks
from heldout.errors import InputError, UnitError
from heldout.evidence import finite_or_none, sha256_file
from heldout.leaderboard import DatedScores, Design, Record, VetoPolicy, rank_scale
from heldout.leaderboard.rules import History, fresh_best, never_switch, supported_lead
from heldout.run import load_backbone
from heldout.split import load_splitter
from heldout.study import BASE

SCHEMA = "heldout.replay/1"
Listener = Callable[[str, int, int], None]
_CORRELATION = 0.5


@dataclass(frozen=True)
class Plan:
    """What is re-lived and how it is judged.

    Attributes:
        first: First year.
        last: Last year.
        months: Length of a vintage.
        noise: Arms of random numbers.
        parts: Parts in time of the score of selection.
        held_out: Parts that each of its folds holds out.
        effect: Smallest lead in rank IC that is worth a switch.
        alpha: Level, shared by all challengers.
        policy: How predictions are traded.
    """

    first: int
    last: int
    months: int = 12
    noise: int = 2
    parts: int = 8
    held_out: int = 2
    effect: float = 0.02
    alpha: float = 0.05
    policy: Policy = field(default_factory=Policy)


def replay(
    study: str | Path, plan: Plan, folder: Path, *, workers: int | None = None, listener: Listener | None = None
) -> dict[str, object]:
    """Re-live a study's history.

    Args:
        study: A study over a price panel; its base serves first.
        plan: What and how.
        folder: Where fitted vintages are kept; an interrupted replay goes on there.
        workers: Processes.
        listener: Called with a unit's name, how many are done, and of how many.

    Returns:
        The document ``heldout.replay/1``. Same study, plan and code: same bytes.

    Raises:
        InputError: If the study is not over a panel, or the panel does not hold the years.
        UnitError: If an arm could not be fitted.
    """
    arms = _arms(study, plan.noise)
    base = arms[0]
    panel = read_panel(base.options)
    pieces = vintages(panel, plan.first, plan.last, plan.months)
    horizon = base.options.forward_days
    _refuse_unmatured(panel, pieces[-1], horizon)
    relived = _relive_all(arms, pieces, plan, folder, sha256_file(base.options.path), workers, listener)
    outputs = {arm.id: _stitched(panel, pieces, [relived[arm.id, piece.name] for piece in pieces]) for arm in arms}
    scores = {name: rank_ic(panel, matrix, horizon).scores for name, matrix in outputs.items()}
    design = _design(panel, arms, horizon, plan)
    histories = _histories(panel, arms, pieces, relived, outputs, scores, design, plan.policy.top)
    traded = Traded(panel, pieces, plan.policy)
    realised = mean_realised(pieces, panel, scores)
    return {
        "schema": SCHEMA,
        "study": str(Study.load(study).file.spec.study),
        "panel_sha256": sha256_file(base.options.path),
        "score": f"rank IC over {horizon} dates",
        "plan": asdict(plan),
        "design": design.to_json(),
        "readiness": design.sentences(252),
        "arms": [arm_document(arm, scores[arm.id], traded.figures([outputs[arm.id]] * len(pieces))) for arm in arms],
        "vintages": [
            {
                "name": piece.name,
                "from": str(panel.dates[piece.start]),
                "to": str(panel.dates[piece.end - 1]),
                "arms": {
                    arm.id: {
                        "trained_rows": relived[arm.id, piece.name].trained,
                        "selection": relived[arm.id, piece.name].selection,
                        "why_no_selection": relived[arm.id, piece.name].why or None,
                        "realised": finite_or_none(realised[number, place]),
                    }
                    for place, arm in enumerate(arms)
                },
            }
            for number, piece in enumerate(pieces)
        ],
        "rules": [rule_document(history, arms, pieces, panel, realised, outputs, traded) for history in histories],
        "selection_tells": selection_tells(relived, realised, arms, pieces),
        "notes": notes_on(panel, plan.policy),
    }


def _arms(study: str | Path, noise: int) -> list[ReplayArm]:
    """The base, every active variant, and noise."""
    loaded = Study.load(study)
    active = [each.id for each in loaded.file.spec.variants if each.status == "active"]
    found = []
    for name in (BASE, *active):
        resolved = loaded.resolve(name)
        if resolved.reader.name != "market_panel":
            raise InputError(
                f"the reader {resolved.reader.name!r} has no prices to re-live",
                where=str(study),
                hint="name a study over a market_panel",
            )
        description = next((each.description for each in loaded.file.spec.variants if each.id == name), "")
        options: Any = resolved.reader.options
        found.append(
            ReplayArm(
                name, description or resolved.spec.description, options, resolved.main.backbone, resolved.main.seeds
            )
        )
    random = load_backbone("market_noise", {})
    return found + [
        ReplayArm(f"noise-{number}", "random numbers", found[0].options, random, (number,), null=True)
        for number in range(1, noise + 1)
    ]


def _refuse_unmatured(panel: Panel, last: Vintage, horizon: int) -> None:
    if last.start + horizon >= len(panel.dates):
        raise InputError(
            f"no outcome of {last.name} has matured: the panel ends on {panel.dates[-1]}",
            where="--last",
            hint="end the replay earlier",
        )


def _relive_all(
    arms: Sequence[ReplayArm],
    pieces: Sequence[Vintage],
    plan: Plan,
    folder: Path,
    panel_sha256: str,
    workers: int | None,
    listener: Listener | None,
) -> dict[tuple[str, str], Relived]:
    selection = load_splitter({"kind": "combinatorial-purged", "folds": plan.parts, "held_out": plan.held_out})
    horizon = arms[0].options.forward_days
    tasks = [Task(arm, piece, horizon, selection, panel_sha256, folder) for piece in pieces for arm in arms]
    found: dict[tuple[str, str], Relived] = {}
    for count, done in enumerate(run_tasks(relive, tasks, workers=workers), start=1):
        task = tasks[done.index]
        name = f"{task.arm.id}/{task.vintage.name}"
        if done.error is not None:
            raise UnitError(str(done.error), where=name, hint="mend the cause: finished vintages are kept")
        assert isinstance(done.result, tuple)
        found[task.arm.id, task.vintage.name] = Relived(*done.result)
        if listener is not None:
            listener(name, count, len(tasks))
    return found


def _stitched(panel: Panel, pieces: Sequence[Vintage], parts: Sequence[Relived]) -> Matrix:
    """Predictions of all vintages, ``[dates, assets]``."""
    found = np.full(panel.close.shape, np.nan)
    for piece, part in zip(pieces, parts, strict=True):
        found[piece.start : piece.end] = part.predictions
    return found


def _design(panel: Panel, arms: Sequence[ReplayArm], horizon: int, plan: Plan) -> Design:
    names = int(np.median(panel.member.sum(axis=1)))
    scale = rank_scale(names, _CORRELATION)
    return Design(horizon, plan.effect, scale, plan.alpha, tests=len(arms) - 1)


def _histories(
    panel: Panel,
    arms: Sequence[ReplayArm],
    pieces: Sequence[Vintage],
    relived: Mapping[tuple[str, str], Relived],
    outputs: Mapping[str, Matrix],
    scores: Mapping[str, DatedScores],
    design: Design,
    used: int,
) -> list[History]:
    first, veto = arms[0].id, VetoPolicy(used=used)

    def known(period: int, champion: str) -> dict[str, Record]:
        """Outcomes that had matured on the last date before the vintage, and the outputs up to it."""
        start = pieces[period].start
        last = panel.dates[max(start - 1 - design.horizon, 0)]
        seen = slice(pieces[0].start, start)
        return {
            arm.id: Record(
                _until(scores[arm.id], last),
                checks=()
                if arm.id == champion
                else checks_against(outputs[arm.id][seen], outputs[champion][seen], veto),
                scale=None
                if arm.id == champion
                else expected_scale(outputs[arm.id][seen], outputs[champion][seen], design.horizon),
            )
            for arm in arms
        }

    selection = [{arm.id: relived[arm.id, piece.name].selection for arm in arms} for piece in pieces]
    return [
        never_switch(len(pieces), first),
        fresh_best(selection, first),
        supported_lead(known, len(pieces), first, design, veto),
    ]


def _until(scores: DatedScores, last: np.datetime64) -> DatedScores:
    known = scores.dates <= last
    return DatedScores(scores.dates[known], scores.values[known])
