"""The doctor: each thing that can be missing is found, named, and comes with its mend."""

from __future__ import annotations

from pathlib import Path

import pytest

from heldout.package.doctor.doctor import Checkup, Finding, Need, Probes, examine
from heldout.package.doctor.machine import Machine
from heldout.package.kit.requirements import direct_requirements

HEALTHY = {
    "import_all": lambda modules: dict.fromkeys(modules, ""),
    "version": lambda _: "1.0",
    "free_disk": lambda _: 10**12,
    "memory": lambda: 10**11,
    "torch_device": lambda: "2.9 cpu",
}


def checkup(folder: Path, *, torch: bool = False, **probes: object) -> Checkup:
    asked = Probes(Machine("Linux", "x86_64"), **(HEALTHY | probes))  # type: ignore[arg-type]
    need = Need(10**9, 10**9, "a test")
    return examine(asked, modules={"numpy": "numpy", "yaml": "pyyaml"}, need=need, folders=[folder], torch_needed=torch)


def failed(found: Checkup) -> list[str]:
    return [finding.id for finding in found.findings if finding.state == "FAILED"]


def test_a_healthy_machine_is_healthy(tmp_path: Path) -> None:
    """The doctor would keep people from working."""
    found = checkup(tmp_path / "out")
    assert ([], True) == (failed(found), found.healthy)
    assert "heldout.doctor/1" == found.to_json()["schema"]


SICK = {
    "import-yaml": {
        "import_all": lambda modules: {m: "ModuleNotFoundError: x" if m == "yaml" else "" for m in modules}
    },
    "python": {"python": (3, 10)},
    "disk": {"free_disk": lambda _: 10**8},
    "memory": {"memory": lambda: 10**8},
    "torch": {"torch_device": lambda: None, "torch": True},
}


@pytest.mark.parametrize("what", SICK)
def test_each_missing_thing_is_named_with_its_mend(what: str, tmp_path: Path) -> None:
    """Hours would go by before it shows."""
    found = checkup(tmp_path, **SICK[what])  # type: ignore[arg-type]
    assert [what] == failed(found)
    (finding,) = (each for each in found.findings if each.id == what)
    assert finding.mend
    assert not found.healthy


def test_torch_is_not_asked_for_where_it_does_not_train(tmp_path: Path) -> None:
    """A kit would refuse to run for want of gigabytes that it never loads."""
    assert [] == failed(checkup(tmp_path, torch_device=lambda: None))


def test_a_folder_that_cannot_be_written_is_found(tmp_path: Path) -> None:
    """The first encode would be lost."""
    (tmp_path / "file").write_text("")
    assert ["writable-out"] == failed(checkup(tmp_path / "file" / "out"))


def test_a_system_that_hides_its_memory_is_no_failure(tmp_path: Path) -> None:
    """A Mac would never be healthy."""
    found = checkup(tmp_path, memory=lambda: None)
    assert Finding("memory", "NOTE", "this system does not say; the study takes about 1 GB") in found.findings


def test_an_import_that_ends_the_process_is_found_and_the_others_are_still_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library built for another processor would end the doctor instead of being named by it."""
    (tmp_path / "aaa_fine.py").write_text("print('noise')")
    (tmp_path / "bbb_deadly.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGILL)")
    (tmp_path / "ccc_broken.py").write_text("raise RuntimeError('no such symbol')")
    (tmp_path / "ddd_exits.py").write_text("raise SystemExit(0)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    names = ["aaa_fine", "bbb_deadly", "ccc_broken", "ddd_exits", "eee_absent"]
    why = Probes(Machine("Linux", "x86_64")).import_all(names)
    assert "" == why["aaa_fine"]
    assert "ended with -4" in why["bbb_deadly"]
    assert "no such symbol" in why["ccc_broken"]
    assert "SystemExit" in why["ddd_exits"]
    assert "ModuleNotFoundError" in why["eee_absent"]


def test_defect_8a1_every_import_of_later_steps_is_looked_at() -> None:
    """Step 03 or 05 would die for want of a package, after hours of encoding."""
    asked = set(direct_requirements(["video"], frozenset({"torch"})))
    assert {"numba", "numpy", "onnx", "onnxruntime", "imageio_ffmpeg", "sklearn", "skops", "polars", "yaml"} <= asked
