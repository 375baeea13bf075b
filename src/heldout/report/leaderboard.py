"""The leaderboard for people: a table on the terminal, and one HTML page that needs nothing beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heldout.evidence import write_json, write_page
from heldout.report.content import number
from heldout.report.pages import environment, template_text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_WIDE = 150
JSON, HTML = "leaderboard.json", "leaderboard.html"
_COLOURS = {"BETTER": "green", "NOT BETTER": "red", "NOT ENOUGH YET": "yellow"}
_OUTCOMES = {"BETTER": "PASS", "NOT BETTER": "FAIL", "NOT ENOUGH YET": "UNKNOWN"}
_OUTCOMES |= {"PASS": "PASS", "VETO": "FAIL", "UNKNOWN": "UNKNOWN"}


def write_leaderboard(folder: Path, document: Mapping[str, Any]) -> None:
    """Write ``leaderboard.json`` and ``leaderboard.html``, each atomically."""
    write_json(folder / JSON, document)
    write_page(folder / HTML, leaderboard_html(document))


def leaderboard_html(document: Mapping[str, Any]) -> str:
    """The page. Same document, same text."""
    from heldout.report.leaderboard_plots import leaderboard_figures

    rows, overfitting, sharpe = document["rows"], document["overfitting"], document["sharpe"]
    env = environment()
    env.filters |= {"range": interval, "outcome": _OUTCOMES.__getitem__, "short": short}
    return env.get_template("leaderboard.html.j2").render(
        d=document,
        challengers=[row for row in rows if row["role"] == "challenger"],
        figure_names=figure_names(document),
        headline=headline(document),
        switching=switching_sentence(document["switching"]) if document["switching"] else "",
        overfitting=overfitting_sentence(overfitting) if overfitting["probability"] is not None else "",
        sharpe=sharpe_sentence(sharpe) if sharpe and sharpe["probability"] is not None else "",
        figures=leaderboard_figures(document),
        css=template_text("report.css"),
    )


def leaderboard_table(document: Mapping[str, Any]) -> Table:
    """The table for a terminal; reasons are not in it, see :func:`leaderboard_lines`."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(f"{document['score']} to {document['as_of']}"), title_justify="left", box=None)
    for head in ("arm", "dates", "mean", "lead", "interval", "blocks", "dates left", "trials", "answer"):
        table.add_column(head, justify="left" if head in {"arm", "interval", "answer"} else "right", no_wrap=True)
    for row in document["rows"]:
        shown = [escape(row["arm"]), f"{row['dates']:,}", number(row["mean"])]
        if row["role"] == "champion":
            table.add_row(*shown, "", "", "", "", str(row["trials"]), "champion")
        else:
            lead, answer = row["lead"], row["answer"]
            shown += [number(lead["mean"]), interval(lead), str(lead["blocks"]), f"{lead['dates_left']:,}"]
            table.add_row(*shown, str(row["trials"]), f"[{_COLOURS[answer]}]{answer}[/]")
    return table


def figures_table(document: Mapping[str, Any]) -> Table:
    """The further numbers of every arm: a line a number, a column an arm."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="the same policy for all, after costs", title_justify="left", box=None)
    table.add_column("", no_wrap=True)
    for row in document["rows"]:
        table.add_column(escape(row["arm"]), justify="right", no_wrap=True)
    for name in figure_names(document):
        values = (row["figures"].get(name) for row in document["rows"])
        table.add_row(escape(name), *(short(value) for value in values))
    return table


def print_leaderboard(document: Mapping[str, Any]) -> None:
    """The whole board on the terminal: what can be found out, the arms, their trading, every reason, the decision."""
    console = terminal()
    for line in document["plan"]:
        console.print(line, markup=False)
    console.print("", leaderboard_table(document), "", sep="\n")
    if figure_names(document):
        console.print(figures_table(document), "", sep="\n")
    for line in leaderboard_lines(document)[len(document["plan"]) :]:
        console.print(line, markup=False)


def terminal() -> Console:
    """Standard output; as wide as a table needs where it is no terminal, so that a file of it can be read."""
    from heldout.terminal import open_console

    console = open_console()
    return console if console.is_terminal else open_console(width=_WIDE)


def leaderboard_lines(document: Mapping[str, Any]) -> list[str]:
    """What to print around the table: the plan, every reason, and the decision last."""
    lines = [*document["plan"]]
    for row in document["rows"]:
        lines += [f"{row['arm']}: {reason}" for reason in row.get("reasons", [])]
    if document["overfitting"]["probability"] is not None:
        lines.append(overfitting_sentence(document["overfitting"]))
    if document["sharpe"] is not None and document["sharpe"]["probability"] is not None:
        lines.append(sharpe_sentence(document["sharpe"]))
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


def overfitting_sentence(overfitting: Mapping[str, Any]) -> str:
    """How often the best arm of one half of the dates disappoints on the other."""
    return (
        f"The arm that is best on one half of {overfitting['dates']:,} common dates is in the lower half on the other "
        f"in {overfitting['probability']:.0%} of {overfitting['splits']} splits; luck alone gives "
        f"{overfitting['by_luck']:.0%}"
    )


def sharpe_sentence(sharpe: Mapping[str, Any]) -> str:
    """What is left of the best net Sharpe ratio after all tries."""
    return (
        f"The best net Sharpe ratio over the universe is {sharpe['best']}'s, {sharpe['annual']:.2f} a year over "
        f"{sharpe['periods']} periods; after {sharpe['trials']} trials the chance that it is more than luck is "
        f"{sharpe['probability']:.0%}"
    )


def short(value: float | None) -> str:
    """A number in a narrow table."""
    return "–" if value is None else f"{value:.2f}"


def switching_sentence(switching: Mapping[str, Any]) -> str:
    """What the history of serving has cost."""
    count, periods = switching["switches"], switching["periods"]
    kind = "cost" if switching["regret"] > 0 else "earned"
    told = f"{number(abs(switching['regret']))} a period against never switching"
    head = f"{count} {'switch has' if count == 1 else 'switches have'} in {periods} periods {kind} {told}"
    return (
        f"{head if count else f'Nobody was switched in {periods} periods'} "
        f"({number(switching['served'])} served, {number(switching['never_switch'])} had nobody switched, "
        f"{number(switching['best_fixed']['mean'])} for {switching['best_fixed']['arm']} in hindsight); "
        f"noise served in {switching['null_periods']}"
    )


def figure_names(document: Mapping[str, Any]) -> list[str]:
    """Names of the further numbers, in the order in which arms bring them."""
    return list(dict.fromkeys(name for row in document["rows"] for name in row["figures"]))
