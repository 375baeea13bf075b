"""The reports of a run: what stands in them, and what data can never do to them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from heldout.report import write_reports

Writer = Callable[..., Path]
Documents = Callable[..., dict[str, Any]]
_VOID = {"meta", "br", "hr", "img", "link", "input"}


class _Balanced(HTMLParser):
    """Fails on a closing tag that closes nothing; keeps ids and what would be fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(str(value))
            if name in {"src", "href", "xlink:href"} and not str(value).startswith(("data:", "#")):
                self.fetched.append(str(value))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def _parsed(folder: Path) -> _Balanced:
    parser = _Balanced()
    parser.feed((folder / "report.html").read_text(encoding="utf-8"))
    return parser


@pytest.mark.slow
def test_verdict_is_the_first_thing_said(write: Writer) -> None:
    """A busy reader would have to search for the one word that matters."""
    folder = write()
    body = (folder / "report.html").read_text().split("<body>")[1]
    assert "HOLD" == re.sub(r"<[^>]*>", " ", body).split()[0]
    assert (folder / "RUN_REPORT.md").read_text().startswith("# HOLD: tiny / base\n")


@pytest.mark.slow
def test_page_is_well_formed_and_fetches_nothing(write: Writer) -> None:
    """A report opened offline would lack its plots, or be cut off by a broken tag."""
    page = _parsed(write())
    assert [] == page.open
    assert [] == page.fetched
    assert len(set(page.ids)) == len(page.ids)


@pytest.mark.first_is_fast
@pytest.mark.parametrize("text", ["scatter", "errors", "seeds", "coverage", "curves"])
def test_regression_has_every_plot(write: Writer, text: str) -> None:
    """A promised plot would be missing."""
    page = (write() / "report.html").read_text()
    assert f'<figure id="{text}"' in page
    assert re.search(rf'<figure id="{text}".*?<svg .*?<path .*?</svg>', page, re.DOTALL)


def test_classification_shows_its_confusion(write: Writer) -> None:
    """A classifier's report would show plots of numbers that it does not have."""
    page = (write(classes=("cat", "dog", "eel")) / "report.html").read_text()
    assert '<figure id="confusion"' in page
    assert '<figure id="scatter"' not in page
    assert "balanced accuracy" in page


@pytest.mark.slow
def test_group_names_are_data_not_markup(write: Writer) -> None:
    """A file name could put markup, or a script, into a page that people open and trust."""
    folder = write(groups=("alpha", "beta", "</style><script>alert(1)</script>", "a|b`c", r"$\frac$"))
    page, markdown = (folder / "report.html").read_text(), (folder / "RUN_REPORT.md").read_text()
    assert "<script" not in page
    assert "</style><" not in page.split("</head>")[1]
    assert "<script" not in markdown.replace("\\<script", "")
    rows = [line for line in markdown.splitlines() if "a\\|b" in line]
    head = next(line for line in markdown.splitlines() if line.startswith("| held-out fold"))
    assert any(len(re.findall(r"(?<!\\)\|", line)) == head.count("|") for line in rows)


@pytest.mark.slow
def test_same_documents_same_bytes(write: Writer) -> None:
    """A run that is repeated would show a different report for the same result."""
    first, second = write(name="a"), write(name="b")
    for name in ("report.html", "RUN_REPORT.md"):
        assert (first / name).read_text().replace("run a", "run b").replace("`a`", "`b`") == (second / name).read_text()


@pytest.mark.slow
def test_undefined_numbers_say_so(write: Writer, documents: Documents) -> None:
    """A NaN would vanish from the table, and the mean beside it would look whole."""
    held = documents()
    held["metrics"]["ensemble"]["folds"]["alpha"]["plcc"] = None
    held["metrics"]["ensemble"]["mean"]["plcc"] = None
    held["metrics"]["ensemble"]["intervals"]["plcc"] |= {"low": None, "high": None}
    held["metrics"]["undefined"] = [{"where": "ensemble/folds/alpha/plcc", "why": "the prediction is constant"}]
    folder = write(changes={"metrics": held["metrics"]})
    for name in ("report.html", "RUN_REPORT.md"):
        text = (folder / name).read_text()
        assert "undefined" in text
        assert "the prediction is constant" in text


@pytest.mark.slow
def test_notes_warnings_and_skips_are_carried(write: Writer) -> None:
    """What a reader must know would stand only in a log."""
    page = (write() / "report.html").read_text()
    for text in ("a note that must be read", "an unseen encoder", "omega", "no frames"):
        assert text in page


@pytest.mark.slow
def test_smoke_run_is_called_one(write: Writer, documents: Documents) -> None:
    """A quick look could be shown around as a result."""
    verdict = documents()["verdict"] | {"smoke": "`--set fit.epochs=5` overrides the declared study"}
    folder = write(changes={"verdict": verdict})
    assert "Smoke run" in (folder / "report.html").read_text()
    assert "Smoke run" in (folder / "RUN_REPORT.md").read_text()


@pytest.mark.slow
def test_many_groups_stay_readable_and_small(write: Writer) -> None:
    """A study of hundreds of groups would give a page that no browser opens."""
    folder = write(groups=tuple(f"group{i:03}" for i in range(300)), rows=20)
    assert (folder / "report.html").stat().st_size < 2_000_000
    assert "200 worst of 300" in (folder / "report.html").read_text()


def test_baseline_that_wins_is_named(write: Writer, documents: Documents) -> None:
    """A variant that loses to a cheap contender would look like progress."""
    held = documents()
    block = held["metrics"]["members"]["0"] | {"description": "cheap", "seeds": 1}
    block["mean"] = block["mean"] | {"plcc": 1.0}
    held["metrics"]["baselines"] = {"linear": block}
    page = (write(changes={"metrics": held["metrics"]}) / "report.html").read_text()
    assert "better than the variant on PLCC" in page


def test_a_small_figure_is_not_blown_up_and_a_wide_one_scrolls(write: Writer) -> None:
    """Two classes would fill a screen with letters as high as a thumb; on a telephone axes would be specks."""
    page = (write(classes=("cat", "dog")) / "report.html").read_text()
    confusion = re.search(
        r'<figure id="confusion".*?<svg style="max-width: ([\d.]+)%; min-width: ([\d.]+)rem"', page, re.DOTALL
    )
    pattern = r'<figure id="seeds".*?<svg style="max-width: ([\d.]+)%; min-width: ([\d.]+)rem"'
    seeds = re.search(pattern, page, re.DOTALL)
    assert confusion is not None
    assert seeds is not None
    assert float(confusion[1]) < 50 < 99 < float(seeds[1])
    assert float(confusion[2]) < 20 < float(seeds[2])
    assert "figure { margin: 1rem 0 2rem; overflow-x: auto; }" in page


@pytest.mark.slow
def test_the_number_that_a_rule_judged_stands_among_the_first(write: Writer) -> None:
    """A rule over all rows would show a number that the top of the page does not, and look like a mistake."""
    page = (write() / "report.html").read_text()
    cards = page.split('<div class="cards">')[1].split("</div>\n</div>")[0]
    assert cards.count("all rows pooled: ") == cards.count('class="card"') > 0


@pytest.mark.slow
def test_why_stays_in_sight_on_a_narrow_screen(write: Writer) -> None:
    """On a telephone the sentence of a rule would lie beyond the edge: the reason of a HOLD."""
    page = (write() / "report.html").read_text()
    assert '<table class="rules">' in page
    narrow = page.split("@media (max-width: 40rem)")[1]
    assert ".rules :is(th, td):is(:nth-child(3), :nth-child(4)) { display: none; }" in narrow


def _with_baseline(documents: dict[str, Any], prediction: Any) -> dict[str, Any]:
    """The documents with one more contender, as a run would score it."""
    from heldout.study import BootstrapSpec
    from heldout.task import Predictions, summarise

    samples = documents["predictions"].select("sample_id", "group", "fold", "target")
    members = {0: documents["predictions"]["prediction"].to_numpy()}
    theirs = Predictions(samples, {0: prediction(members[0])}, ())
    counts = {str(fold): 80 for fold in samples["fold"].unique()}
    mine = Predictions(samples, members, ())
    return summarise(mine, counts, BootstrapSpec(draws=200), {"mean": ("a mean", theirs)})


def test_gain_over_a_constant_says_why_it_is_undefined_and_what_is_gained_in_rmse(
    write: Writer, documents: Documents
) -> None:
    """The reader would take a gap in the table for a fault, and never see by how much the mean was beaten."""
    made = documents()
    found = _with_baseline(made, lambda mine: 0 * mine + 50.0)
    gain = found["comparisons"]["mean"]["rmse"]
    assert gain["low"] > 0
    said = "undefined: a constant has no correlation; RMSE"
    numbers = f"{gain['gain']:+.4f} ({gain['low']:+.4f} to {gain['high']:+.4f})"
    folder = write(changes={"metrics": found})
    (line,) = (row for row in (folder / "RUN_REPORT.md").read_text().splitlines() if row.startswith("| mean: a mean"))
    assert said in line
    assert numbers in line
    page = (folder / "report.html").read_text()
    assert f"{said} [VMAF] {numbers}" in page


def test_gain_over_a_baseline_that_varies_is_shown_as_before(write: Writer, documents: Documents) -> None:
    """Every gain would be called undefined, or shown twice."""
    found = _with_baseline(documents(), lambda mine: mine + [0.0, 9.0] * (len(mine) // 2))
    folder = write(changes={"metrics": found})
    (line,) = (row for row in (folder / "RUN_REPORT.md").read_text().splitlines() if row.startswith("| mean: a mean"))
    assert "undefined" not in line
    assert f"{found['comparisons']['mean']['plcc']['gain']:+.4f} (" in line


@pytest.mark.slow
@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([math.inf], "1 row is left out"),
        ([-math.inf, math.nan], "2 rows are left out"),
        ([1e308, -1e308], "2 rows are left out"),
        ([math.inf] * 120, "120 rows are left out"),
        ([1e99], ""),
    ],
)
def test_values_that_cannot_be_drawn_are_left_out_and_counted(
    documents: Documents, tmp_path: Path, values: list[float], said: str
) -> None:
    """One infinite prediction would end a run with a traceback, after its look."""
    made = documents()
    known = made["predictions"]["prediction"].to_list()
    made["predictions"] = made["predictions"].with_columns(prediction=pl.Series([*values, *known[len(values) :]]))
    write_reports(tmp_path, **made)
    page = (tmp_path / "report.html").read_text()
    assert (bool(said), True) == ("left out: a value" in page, said in page)
    assert 'id="scatter' in page
