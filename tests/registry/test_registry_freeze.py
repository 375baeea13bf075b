"""Freeze windows: [25] of the market's list, a freeze declared where nobody read it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from registry_kit import Runs

from heldout.errors import RefusedError
from heldout.registry import Registry, add, promote, rollback
from heldout.registry.freeze import active_window, read_windows

BAD = {
    "an empty file": "",
    "no list": "from: 2026-12-20",
    "no YAML": "- {from: [",
    "a missing key": "- {from: 2026-12-20, to: 2027-01-03}",
    "an unknown key": "- {from: 2026-12-20, to: 2027-01-03, reason: x, slot: demo}",
    "an empty reason": "- {from: 2026-12-20, to: 2027-01-03, reason: ' '}",
    "a word for a day": "- {from: christmas, to: 2027-01-03, reason: x}",
    "a year": "- {from: 2026, to: 2027, reason: x}",
    "the end before the start": "- {from: 2027-01-03, to: 2026-12-20, reason: x}",
    "a bad window behind a good one": "- {from: 2026-01-01, to: 2026-01-02, reason: x}\n- {}",
}


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def test_problem_25_a_freeze_is_read_by_the_gate(tmp_path: Path, runs: Runs) -> None:
    """A freeze would exist in a file that nothing reads, and the loop would promote straight through it."""
    now = [at("2026-12-20T00:00:00")]
    with Registry(tmp_path / "registry", create=True, clock=lambda: now[0]) as registry:
        first, second = (add(registry, runs(name)).id for name in ("base", "alpha2"))
        promote(registry, first)
        (tmp_path / "registry" / "freeze.yaml").write_text("- {from: 2026-12-20, to: 2027-01-03, reason: holidays}\n")
        for moment in ("2026-12-20T00:00:00", "2027-01-03T23:59:59"):
            now[0] = at(moment)
            with pytest.raises(RefusedError, match="holidays"):
                promote(registry, second)
        promote(registry, second, override=True, reason="outage")
        event = rollback(registry, "demo")
        assert "holidays" in event.body["frozen"]
        now[0] = at("2027-01-04T00:00:00")
        promote(registry, second)
        overridden = [event.body.get("overridden") for event in registry.history(slot="demo")]
        assert [False, True, False, False] == [bool(each) for each in overridden]


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_problem_25_a_freeze_that_is_not_understood_refuses(
    tmp_path: Path, lite: Registry, runs: Runs, text: str
) -> None:
    """A slip in the file would lift the freeze in silence."""
    version = add(lite, runs("base"))
    (tmp_path / "registry" / "freeze.yaml").write_text(text)
    for override in (False, True):
        with pytest.raises(RefusedError) as caught:
            promote(lite, version.id, override=override, reason="x")
        assert 3 == caught.value.exit_code
        assert "freeze.yaml" in (caught.value.where or "")
    assert lite.champion("demo") is None


def test_problem_25_a_freeze_file_that_cannot_be_opened_refuses(tmp_path: Path, runs: Runs) -> None:
    """Broken rights, a broken link or a wrong name on the command line would count as no freeze."""
    named = tmp_path / "policy.yaml"
    with Registry(tmp_path / "registry", create=True, freeze=named) as registry:
        version = add(registry, runs("base"))
        with pytest.raises(RefusedError):
            promote(registry, version.id)
        named.symlink_to(tmp_path / "gone.yaml")
        with pytest.raises(RefusedError):
            promote(registry, version.id)
        named.unlink()
        named.mkdir()
        with pytest.raises(RefusedError):
            promote(registry, version.id)
        named.rmdir()
        named.write_text("[]\n")
        promote(registry, version.id)
    folder = tmp_path / "registry" / "freeze.yaml"
    folder.symlink_to(tmp_path / "gone.yaml")
    with pytest.raises(RefusedError):
        active_window(folder, at("2026-01-01"))


@given(st.datetimes(), st.timedeltas(dt.timedelta(seconds=1), dt.timedelta(days=400)), st.integers(-14, 14))
def test_a_window_is_the_same_in_every_zone(start: dt.datetime, length: dt.timedelta, hours: int) -> None:
    """A freeze written with an offset would start hours early or late."""
    if not 1000 <= start.year <= 9000:
        return
    import tempfile

    start, zone = start.replace(microsecond=0, fold=0), dt.timezone(dt.timedelta(hours=hours))
    begin = start.replace(tzinfo=dt.UTC)
    end = begin + dt.timedelta(seconds=int(length.total_seconds()))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "freeze.yaml"
        path.write_text(f'- {{from: "{begin.astimezone(zone).isoformat()}", to: "{end.isoformat()}", reason: r}}\n')
        (window,) = read_windows(path)
    assert (begin, end) == (window.start, window.end)
    assert window.covers(begin)
    assert not window.covers(end)
    assert not window.covers(begin - dt.timedelta(seconds=1))
