"""The run directory: one for each variant, corpus and code, and a safe name for every group."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from heldout.run.layout import RunFolder, run_folder, safe_name

KEY = "0123456789abcdef"


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=300))
def test_any_group_name_is_a_harmless_file_name(name: str) -> None:
    """A group named `../..` would write outside the run directory; a long one would not be written at all."""
    found = safe_name(name)
    assert 0 < len(found.encode()) <= 255
    assert not set(found) & set('/\\:*?"<>|\x00\n')
    assert not found.startswith(".")


@given(st.lists(st.text(alphabet="a/.%~2E \\é", max_size=120), min_size=2, max_size=8, unique=True))
def test_two_groups_never_share_a_folder(names: list[str]) -> None:
    """One fold's model would overwrite another's."""
    assert len(names) == len({safe_name(name) for name in names})


def test_a_harmless_name_is_kept() -> None:
    """Nobody would find the fold of a group by its name."""
    assert "BigBuckBunny_25fps" == safe_name("BigBuckBunny_25fps")
    assert "age 40s" == safe_name("age 40s")
    assert "%2E." == safe_name("..")
    assert "a%2Fb" == safe_name("a/b")


def test_run_of_the_same_key_is_found_again(tmp_path: Path) -> None:
    """A run that goes on after midnight would start from nothing."""
    new = run_folder(tmp_path, "study", "base", KEY)
    assert (tmp_path / "study") == new.path.parent
    old = tmp_path / "study" / f"base-20200101-{KEY[:8]}"
    old.mkdir(parents=True)
    assert old == run_folder(tmp_path, "study", "base", KEY).path
    newer = tmp_path / "study" / f"base-20210101-{KEY[:8]}"
    newer.mkdir()
    assert newer == run_folder(tmp_path, "study", "base", KEY).path


def test_runs_of_others_are_left_alone(tmp_path: Path) -> None:
    """A variant would write into the directory of another, or of another study."""
    for name in (f"soft-20200101-{KEY[:8]}", "base-20200101-ffffffff", f"base-soft-20200101-{KEY[:8]}"):
        (tmp_path / "study" / name).mkdir(parents=True)
    (tmp_path / "other" / f"base-20200101-{KEY[:8]}").mkdir(parents=True)
    assert not run_folder(tmp_path, "study", "base", KEY).path.exists()


def test_units_of_baselines_stand_apart(tmp_path: Path) -> None:
    """A baseline's fit would pass for one of the variant's."""
    folder = RunFolder(tmp_path)
    assert tmp_path / "fits" / "seed3" / "a%2Fb" == folder.unit(3, "a/b")
    assert tmp_path / "baselines" / "mean" / "fits" / "seed3" / "a%2Fb" == folder.unit(3, "a/b", "mean")
