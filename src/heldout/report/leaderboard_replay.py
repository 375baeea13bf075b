"""A re-lived history for people: what each rule served, what came of it, and what switching cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from heldout.evidence import write_json, write_page
from heldout.report.content import number
from heldout.report.leaderboard import terminal
from heldout.report.pages import environment, template_text
from heldout.report.plots import Figure
from heldout.report.svg import COLOURS, INK, figure

if TYPE_CHECKING:
    from rich.table import Table

ALPHA, INDEX, DRAWDOWN = "net alpha, universe [%/yr]", "net alpha, index [%/yr]", "worst drawdown [%]"
_NULL = "#9aa0a6"
_LINES: Mapping[str, Mapping[str, Any]] = {
    "never-switch": {"color": INK, "linewidth": 1.0, "linestyle": (0, (4, 3)), "zorder": 4},
    "fresh-best": {"color": COLOURS[4], "linewidth": 2.0},
    "supported-lead": {"color": COLOURS[2], "linewidth": 3.4},
}
_HEADS = ("rule", "mean rank IC", "regret", "switches", "noise served", "alpha, universe", "alpha, index", "drawdown")


def write_replay(folder: Path, document: Mapping[str, Any]) -> Path:
    """Write ``replay.json`` and ``replay.html``, each atomically, and give the page."""
    write_json(folder / "replay.json", document)
    write_page(folder / "replay.html", replay_html(document))
    return folder / "replay.html"


def replay_html(document: Mapping[str, Any]) -> str:
    """The page. Same document, same text."""
    env = environment()
    env.filters["percent"] = percent
    return env.get_template("leaderboard_replay.html.j2").render(
        d=document,
        headline=headline(document),
        heads=_HEADS,
        rules=[rule_cells(rule) for rule in document["rules"]],
        best=best_fixed(document),
        figures=replay_figures(document),
        tells=tells(document),
        css=template_text("report.css"),
    )


def replay_table(document: Mapping[str, Any]) -> Table:
    """Every rule, and the best single arm in hindsight, for a terminal."""
    from rich.table import Table

    periods = len(document["vintages"])
    table = Table(title=f"{document['score']}, {periods} vintages", title_justify="left", box=None)
    for place, head in enumerate(_HEADS):
        table.add_column(head, justify="right" if place else "left", no_wrap=True)
    for rule in document["rules"]:
        table.add_row(*rule_cells(rule))
    table.add_row(*best_fixed(document))
    return table


def print_replay(document: Mapping[str, Any]) -> None:
    """The whole replay on the terminal."""
    console = terminal()
    for line in document["readiness"]:
        console.print(line, markup=False)
    console.print("", replay_table(document), "", sep="\n")
    for rule in document["rules"]:
        console.print(f"{rule['id']}: {runs(rule)}", markup=False)
    console.print(tells(document), markup=False)
    for note in document["notes"]:
        console.print(f"note: {note}", markup=False)
    console.print(headline(document), markup=False)


def headline(document: Mapping[str, Any]) -> str:
    """How often each rule served noise."""
    told = ", ".join(f"{rule['id']} in {rule['null_periods']}" for rule in document["rules"])
    return f"Of {len(document['vintages'])} vintages noise was served by {told}"


def rule_cells(rule: Mapping[str, Any]) -> tuple[str, ...]:
    """One rule as the cells of its row."""
    figures = rule["figures"]
    return (
        rule["id"],
        number(rule["mean"]),
        number(rule["regret"]),
        str(rule["switches"]),
        f"{rule['null_periods']} of {rule['periods']}",
        percent(figures.get(ALPHA)),
        percent(figures.get(INDEX)),
        fall(figures.get(DRAWDOWN)),
    )


def best_fixed(document: Mapping[str, Any]) -> tuple[str, ...]:
    """The best single arm, which nobody could know beforehand, as such a row."""
    found = document["rules"][0]["best_fixed"]
    arm = next(each for each in document["arms"] if each["id"] == found["arm"])
    regret = document["rules"][0]["never_switch"] - found["mean"]
    figures = [
        percent(arm["figures"].get(ALPHA)),
        percent(arm["figures"].get(INDEX)),
        fall(arm["figures"].get(DRAWDOWN)),
    ]
    noise = f"{len(document['vintages']) if arm['null'] else 0} of {len(document['vintages'])}"
    return (f"{arm['id']}, in hindsight", number(found["mean"]), number(regret), "0", noise, *figures)


def runs(rule: Mapping[str, Any]) -> str:
    """Who served, in order: ``base 1997-2003, noise-1 2004``."""
    found: list[list[str]] = []
    for each in rule["served"]:
        if found and found[-1][0] == each["arm"]:
            found[-1][2] = each["vintage"]
        else:
            found.append([each["arm"], each["vintage"], each["vintage"]])
    return ", ".join(f"{arm} {first}" + (f" to {last}" if last != first else "") for arm, first, last in found)


def tells(document: Mapping[str, Any]) -> str:
    """Whether the score of selection says anything about what comes after it."""
    found = document["selection_tells"]
    return (
        f"Rank correlation of the score of selection with the rank IC of the vintage after it: "
        f"{number(found['spearman'])}, over {found['pairs']} pairs of arm and vintage, noise left out."
    )


def percent(value: float | None) -> str:
    """Percent with one digit."""
    return "–" if value is None else f"{value:+.1f} %"


def fall(value: float | None) -> str:
    """A drawdown."""
    return "–" if value is None else f"{value:.1f} %"


def replay_figures(document: Mapping[str, Any]) -> list[Figure]:
    """Who served when, and what it cost."""
    return [_served(document), _regret(document)]


def _served(document: Mapping[str, Any]) -> Figure:
    rules, arms = document["rules"], document["arms"]
    colours = _colours(arms)
    names = [vintage["name"] for vintage in document["vintages"]]
    with figure("served", 1, 1, 9.6, 0.5 * len(rules) + 1.35) as drawing:
        (axes,) = drawing.axes.flat
        axes.grid(visible=False)
        for place, rule in enumerate(rules):
            for number_, each in enumerate(rule["served"]):
                null = colours[each["arm"]] == _NULL
                axes.barh(
                    place, 0.94, left=number_ - 0.47, height=0.72, color=colours[each["arm"]],
                    hatch="///" if null else None, edgecolor="#ffffff" if null else "none", linewidth=0,
                )  # fmt: skip
        axes.set_yticks(range(len(rules)), [rule["id"] for rule in rules])
        axes.set_ylim(len(rules) - 0.5, -0.5)
        step = max(1, len(names) // 13)
        axes.set_xticks(range(0, len(names), step), names[::step])
        axes.set_xlim(-0.6, len(names) - 0.4)
        axes.legend(
            handles=_keys(document, colours), loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=len(arms),
            handlelength=1.0, columnspacing=1.2,
        )  # fmt: skip
    caption = "The arm that each rule served in each vintage. Grey, hatched: random numbers."
    return Figure("served", "Who served when", caption, drawing.svg)


def _keys(document: Mapping[str, Any], colours: Mapping[str, str]) -> list[Any]:
    """A key for every arm that any rule served; noise once."""
    from matplotlib.patches import Patch

    served = {each["arm"] for rule in document["rules"] for each in rule["served"]}
    known = [arm["id"] for arm in document["arms"] if arm["id"] in served and not arm["null"]]
    keys = [Patch(color=colours[arm], label=arm) for arm in known]
    if served - set(known):
        keys.append(Patch(facecolor=_NULL, hatch="///", edgecolor="#ffffff", linewidth=0, label="noise"))
    return keys


def _regret(document: Mapping[str, Any]) -> Figure:
    with figure("regret", 1, 1, 9.6, 3.4) as drawing:
        (axes,) = drawing.axes.flat
        for rule in document["rules"]:
            through = np.array(rule["path"]["through"], dtype="datetime64[D]")
            axes.plot(through, rule["path"]["regret"], label=rule["id"], **_LINES[rule["id"]])
        axes.set_ylabel(f"running sum, {document['score']}")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(document["rules"]))
    caption = (
        "Mean rank IC of never switching minus that of what the rule served, summed over vintages. Where a line ends "
        "above zero, switching has done harm; below it, good."
    )
    return Figure("regret", "Regret against never switching", caption, drawing.svg)


def _colours(arms: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    real = [arm["id"] for arm in arms if not arm["null"]]
    found = {arm: COLOURS[place % len(COLOURS)] for place, arm in enumerate(real)}
    return found | {arm["id"]: _NULL for arm in arms if arm["null"]}
