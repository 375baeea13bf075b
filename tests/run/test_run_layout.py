"""The run directory: one for each variant, corpus and code, and a safe name for every group."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from heldout.run.layout import RunFolder, known_runs, new_run, safe_name

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
    """A run that goes on after midnight would start from nothing, or from an older one."""
    assert [] == known_runs(tmp_path, "base", KEY)
    days = ("20210101", "20200101", "20210101.2", "20210101.10")
    for day in days:
        (tmp_path / f"base-{day}-{KEY[:8]}").mkdir()
    found = [folder.path.name for folder in known_runs(tmp_path, "base", KEY)]
    assert [f"base-{days[index]}-{KEY[:8]}" for index in (3, 2, 0, 1)] == found


def test_a_second_run_of_a_day_has_a_name_of_its_own(tmp_path: Path) -> None:
    """An upgrade at noon would write over the run of the morning."""
    names = []
    for _ in range(3):
        names.append(new_run(tmp_path, "base", KEY).path.name)
        (tmp_path / names[-1]).mkdir()
    first = names[0].removesuffix(f"-{KEY[:8]}")
    assert [f"{first}-{KEY[:8]}", f"{first}.2-{KEY[:8]}", f"{first}.3-{KEY[:8]}"] == names
    assert list(reversed(names)) == [folder.path.name for folder in known_runs(tmp_path, "base", KEY)]


def test_runs_of_others_are_left_alone(tmp_path: Path) -> None:
    """A variant would write into the directory of another."""
    for name in (f"soft-20200101-{KEY[:8]}", "base-20200101-ffffffff", f"base-soft-20200101-{KEY[:8]}", "trials.jsonl"):
        (tmp_path / name).mkdir(parents=True)
    assert [] == known_runs(tmp_path, "base", KEY)
    assert ["base-20200101-ffffffff"] == [folder.path.name for folder in known_runs(tmp_path, "base")]


def test_units_of_baselines_stand_apart(tmp_path: Path) -> None:
    """A baseline's fit would pass for one of the variant's."""
    folder = RunFolder(tmp_path)
    assert tmp_path / "fits" / "seed3" / "a%2Fb" == folder.unit(3, "a/b")
    assert tmp_path / "baselines" / "mean" / "fits" / "seed3" / "a%2Fb" == folder.unit(3, "a/b", "mean")
