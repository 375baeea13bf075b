"""Held-out groups that are not held out: names, copies, subjects and orders that a table hides."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest
from attack_kit import Desk, route

from heldout.corpus.guards.names import drawn, folded


def planted(desk: Desk, frame: pl.DataFrame) -> None:
    frame.write_csv(desk.folder / desk.study["corpus"]["path"])


def table(desk: Desk) -> pl.DataFrame:
    return pl.read_csv(desk.folder / desk.study["corpus"]["path"])


def codes(desk: Desk, *, blocking: bool | None = None) -> list[str]:
    """Codes of the newest verdict's findings."""
    found = desk.verdict["findings"]
    return [each["code"] for each in found if blocking is None or each["blocking"] is blocking]


def renamed(frame: pl.DataFrame, second: str) -> pl.DataFrame:
    """Half of the rows of ``g0`` under another spelling."""
    half = (pl.col("site") == "g0") & (pl.int_range(pl.len()) % 2 == 0)
    return frame.with_columns(site=pl.when(half).then(pl.lit(second)).otherwise(pl.col("site")))


class TestNames:
    """HO-G001."""

    @route("names", "careless user", "one group is spelt in two ways: blanks, case, zeros before a number", "flagged")
    @route("names", "motivated author", "a letter of a group's name is Cyrillic or Greek and looks the same", "flagged")
    @pytest.mark.parametrize("second", ["G0\u00a0", "ɡ0"])
    def test_a_second_spelling_is_shown_under_the_rules(self, desk: Desk, second: str) -> None:
        """Half of a subject would train while the other half is held out, and the terminal say no guard found it."""
        planted(desk, renamed(table(desk), second))
        answer = desk.run()
        assert 0 == answer.code, answer
        assert ["HO-G001"] == codes(desk)
        assert ascii(second) in answer.out
        assert "no guard found a leak" not in answer.out
        assert "1 finding is reported: HO-G001" in desk.rule("guards")["sentence"]
        assert 0 == desk.heldout("verify", desk.newest).code

    @route("names", "motivated author", "a group's name holds a character that nobody sees", "HOLD")
    def test_a_name_with_an_unseen_character_holds(self, desk: Desk) -> None:
        """Two groups that no reader can tell apart would be held out from each other."""
        planted(desk, renamed(table(desk), "g0\u200b"))
        answer = desk.run()
        assert 1 == answer.code, answer
        assert ["HO-G001"] == codes(desk, blocking=True)
        assert r"'g0\u200b'" in answer.out
        assert "g0\u200b" not in answer.out

    @pytest.mark.parametrize("second", ["G0", "g0 ", "g0\u00a0", "gO", "g00", "ｇ０", "g٠", "ɡ0", "ɡО"])
    def test_spellings_that_a_writer_mixes_up(self, second: str) -> None:
        """One of them would pass for a group of its own."""
        assert folded("g0") == folded(second)
        assert drawn("g0") != drawn(second)

    @pytest.mark.parametrize(
        "second",
        ["g0\u200b", "g\u00ad0", "\ufeffg0", "g0\u2060", "g\u200d0", "g0\u202e", "g0\ufe0f", "g0\u034f", "g0\u3164"],
    )
    def test_characters_that_nobody_sees(self, second: str) -> None:
        """One of them would pass for a group of its own."""
        assert drawn("g0") == drawn(second)

    def test_check_and_its_document_tell_the_same(self, desk: Desk) -> None:
        """A finding would be in one place and not in another."""
        planted(desk, renamed(table(desk), "G0"))
        answer = desk.heldout("check", "study.yaml")
        assert 0 == answer.code
        assert "1 finding reported" in answer.out
        document: dict[str, Any] = json.loads(desk.heldout("check", "study.yaml", "--json").out)
        found = {each["code"]: each["findings"] for each in document["guards"]}
        assert ["'G0', 'g0'"] == [each["where"] for each in found["HO-G001"]]
        assert "HO-G001" in desk.heldout("gate", "plan", "study.yaml").out

    @pytest.mark.parametrize(
        "names",
        [
            ("IL", "LI"), ("1.5", "1.05"), ("1 1", "11"), ("v1.1", "v1.10"), ("s1", "s10"), ("2020-01", "2020-10"),
            ("resume", "résumé"), ("a b", "ab"), ("100", "10"), ("-1", "1"), ("Ω", "ω2"), ("日本", "日木"),
        ],
    )  # fmt: skip
    def test_names_that_mean_two_things_stay_two(self, names: tuple[str, str]) -> None:
        """Honest groups would be reported in every run, and people learn to look away."""
        assert 2 == len({folded(name) for name in names})

    def test_folding_twice_changes_nothing(self) -> None:
        """What is equal would depend on the order of the names."""
        for name in ["G0\u200b", "ＡΒ С", "x\t\u00a0y", "Ⅳ", "ﬁ", "0001", "1.00", "ß", "İ"]:
            assert folded(name) == folded(folded(name))
            assert drawn(name) == drawn(drawn(name))
