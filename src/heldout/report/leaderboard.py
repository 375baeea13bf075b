"""The leaderboard for people: a table on the terminal, and one HTML page that needs nothing beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heldout.evidence import write_json, write_text
from heldout.report.content import number
from heldout.report.pages import environment, template_text

if TYPE_CHECKING:
    from rich.table import Table

JSON, HTML = "leaderboard.json", "leaderboard.html"
_COLOURS = {"BETTER": "green", "NOT BETTER": "red", "NOT ENOUGH YET": "yellow"}
_OUTCOMES = {"BETTER": "PASS", "NOT BETTER": "FAIL", "NOT ENOUGH YET": "UNKNOWN"}
_OUTCOMES |= {"PASS": "PASS", "VETO": "FAIL", "UNKNOWN": "UNKNOWN"}


def write_leaderboard(folder: Path, document: Mapping[str, Any]) -> None:
    """Write ``leaderboard.json`` and ``leaderboard.html``, each atomically."""
    write_json(folder / JSON, document)
    write_text(folder / HTML, leaderboard_html(document))


def leaderboard_html(document: Mapping[str, Any]) -> str:
    """The page. Same document, same text."""
    from heldout.report.leaderboard_plots import leaderboard_figures

    rows = document["rows"]
    env = environment()
    env.filters |= {"range": interval, "outcome": _OUTCOMES.__getitem__}
    return env.get_template("leaderboard.html.j2").render(
        d=document,
        challengers=[row for row in rows if row["role"] == "challenger"],
        figure_names=figure_names(document),
        headline=headline(document),
        switching=switching_sentence(document["switching"]) if document["switching"] else "",
        figures=leaderboard_figures(document),
        css=template_text("report.css"),
    )


def leaderboard_table(document: Mapping[str, Any]) -> Table:
    """The table for a terminal; reasons are not in it, see :func:`leaderboard_lines`."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(f"{document['score']} to {document['as_of']}"), title_justify="left", box=None)
    for head in ("arm", "dates", "mean", "lead", "interval", "blocks", "trials", "answer"):
        table.add_column(head, justify="left" if head in {"arm", "interval", "answer"} else "right")
    for row in document["rows"]:
        shown = [escape(row["arm"]), f"{row['dates']:,}", number(row["mean"])]
        if row["role"] == "champion":
            table.add_row(*shown, "", "", "", str(row["trials"]), "champion")
        else:
            lead, answer = row["lead"], row["answer"]
            shown += [number(lead["mean"]), interval(lead), str(lead["blocks"]), str(row["trials"])]
            table.add_row(*shown, f"[{_COLOURS[answer]}]{answer}[/]")
    return table


def leaderboard_lines(document: Mapping[str, Any]) -> list[str]:
    """What to print around the table: the plan, every reason, and the decision last."""
    lines = [*document["plan"]]
    for row in document["rows"]:
        lines += [f"{row['arm']}: {reason}" for reason in row.get("reasons", [])]
    switching = document["switching"]
    if switching is not None:
        lines.append(switching_sentence(switching))
    lines += [f"note: {note}" for note in document["notes"]]
    return [*lines, headline(document)]


def headline(document: Mapping[str, Any]) -> str:
    """The decision in three words."""
    target = document["decision"]["switch_to"]
    return f"KEEP {document['champion']}" if target is None else f"SWITCH to {target}"


def interval(lead: Mapping[str, Any]) -> str:
    """Both ends, or what is open."""
    low, high = lead["low"], lead["high"]
    if low is None and high is None:
        return "nothing excluded yet"
    if low is None or high is None:
        return f"at most {number(high)}" if low is None else f"at least {number(low)}"
    return f"{number(low)} to {number(high)}"


def switching_sentence(switching: Mapping[str, Any]) -> str:
    """What the history of serving has cost."""
    kind, count = "cost" if switching["regret"] > 0 else "earned", switching["switches"]
    return (
        f"{count} {'switch has' if count == 1 else 'switches have'} in {switching['periods']} periods {kind} "
        f"{number(abs(switching['regret']))} a period against never switching "
        f"({number(switching['served'])} served, {number(switching['never_switch'])} had nobody switched, "
        f"{number(switching['best_fixed']['mean'])} for {switching['best_fixed']['arm']} in hindsight); "
        f"noise served in {switching['null_periods']}"
    )


def figure_names(document: Mapping[str, Any]) -> list[str]:
    """Names of the further numbers, in the order in which arms bring them."""
    return list(dict.fromkeys(name for row in document["rows"] for name in row["figures"]))
