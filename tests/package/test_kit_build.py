"""The kit as a file: whole, equal for equal input, small, and without anybody's name."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest
from archive_kit import OURS
from packaging.requirements import Requirement

from heldout.errors import HeldoutError, InputError, RefusedError, StudyError, TamperedError
from heldout.package.kit import requirements
from heldout.package.kit.build import STEPS, KitOptions, build_kit
from heldout.package.kit.requirements import Target, closure, default_targets, direct_requirements, parse_target
from heldout.package.kit.wheel import build_wheel
from heldout.package.verify.any import verify_any

TORCH = frozenset({"torch"})
STUDY = """
study: small-kit
corpus:
  reader: video_frames
  path: corpus/per_frame_canonical6.jsonl
  produce:
    sources: [{path: refs/any.yuv, width: 160, height: 96, fps: 25, pix_fmt: yuv420p}]
    encoders: [{name: libx264, preset: ultrafast}]
    cqs: [20, 45]
backbone: fr_regressor
fit: {epochs: 3}
baselines: []
seeds: [0, 1]
gate: {rules: [{id: mean-plcc, metric: plcc, scope: members, statistic: mean, at_least: 0.1}]}
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "study.yaml"
    path.write_text(STUDY)
    return path


def options(**more: object) -> KitOptions:
    return KitOptions(**({"ask_pip": False, "leave_out": TORCH} | more))  # type: ignore[arg-type]


@pytest.mark.slow
def test_equal_input_gives_an_equal_kit_that_fits_into_a_mail(study: Path, tmp_path: Path) -> None:
    """The digest that was told would not be that of a second build, or the file would not fit into a mail."""
    one = build_kit(study, tmp_path / "one.tar.gz", options())
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    two = build_kit(Path(shutil.copy(study, elsewhere / "s.yaml")), elsewhere / "two.tar.gz", options())
    assert one.sha256 == two.sha256
    assert one.bytes < 1_250_000  # the sources of heldout are nearly all of it


@pytest.mark.slow
def test_kit_holds_every_file_that_its_manifest_names(study: Path, tmp_path: Path) -> None:
    """A step would call for something that was left at home."""
    kit = build_kit(study, tmp_path / "kit.tar.gz", options())
    assert verify_any(kit.path).holds
    with tarfile.open(kit.path) as archive:
        names = {member.name.removeprefix("small-kit-kit/") for member in archive.getmembers()}
        archive.extractall(tmp_path / "open", **OURS)
    assert names == {*kit.document["files"], "kit.json"}
    assert {*STEPS, "README.md", "study.yaml", "locks/base.lock.yaml", "requirements/any.txt"} <= names
    folder = tmp_path / "open" / "small-kit-kit"
    assert verify_any(folder).holds
    (folder / "02-generate-corpus.sh").write_text("rm -rf /")
    with pytest.raises(TamperedError):
        verify_any(folder)
    done = subprocess.run([sys.executable, folder / "check_kit.py"], capture_output=True, text=True, check=False)
    assert (3, True) == (done.returncode, "02-generate-corpus.sh was changed" in done.stderr)


@pytest.mark.slow
def test_defect_8a4_8a5_and_8a7_the_kit_carries_all_the_python_that_it_calls(study: Path, tmp_path: Path) -> None:
    """The bundle would hold the steps and none of the code, model or schema behind them."""
    wheel = build_wheel()
    with zipfile.ZipFile(io.BytesIO(wheel.data)) as archive:
        names = archive.namelist()
        record = list(csv.reader(io.StringIO(archive.read(next(n for n in names if n.endswith("RECORD"))).decode())))
    assert sorted(names) == sorted(row[0] for row in record)
    assert {"heldout/cli/main.py", "heldout/package/kit/steps/_kit.sh", "heldout/domains/video/encode/cell.py"} <= set(
        names
    )
    assert not [name for name in names if "__pycache__" in name or "/." in name]
    assert wheel.data == build_wheel().data
    source = (Path(requirements.__file__).parents[2] / "domains" / "video" / "encode" / "cell.py").read_text()
    assert "model=version=" in source  # built into libvmaf: no file of a model that could be left behind
    assert build_kit(study, tmp_path / "kit.tar.gz", options()).document["code_sha256"]


def test_defect_8a1_frozen_requirements_hold_everything_that_is_imported() -> None:
    """The kit's own requirements could not train."""
    for target in default_targets():
        pins = closure(["video"], target, TORCH)
        assert set(direct_requirements(["video"], TORCH).values()) <= set(pins)
        assert "torch" not in pins
        for name in pins:
            for text in distribution(name).requires or []:
                wanted = Requirement(text)
                if wanted.marker is None or wanted.marker.evaluate({**target.environment, "extra": ""}):
                    assert wanted.name.lower().replace("_", "-").replace(".", "-") in pins, (name, text)


def test_markers_are_judged_for_the_target_and_not_for_this_machine() -> None:
    """A kit built on Linux would lack what macOS needs."""
    requirement = [
        Requirement("only-there; sys_platform == 'darwin'"),
        Requirement("only-here; sys_platform == 'linux'"),
    ]
    for target, expected in (
        (Target("darwin", "arm64", "3.12"), [True, False]),
        (Target("linux", "x86_64", "3.11"), [False, True]),
    ):
        assert expected == [requirements._applies(each, frozenset(), target.environment) for each in requirement]


def test_targets_by_name() -> None:
    """An operator's machine could not be asked for."""
    for target in default_targets():
        assert target == parse_target(target.name)
    assert "3.12" == parse_target("linux-x86_64-cp312").python
    for wrong in ("linux-arm64-cp311", "windows-x86_64-cp311", "darwin-aarch64-cp311", ""):
        with pytest.raises(InputError):
            parse_target(wrong)


def test_hashes_of_a_report_must_be_whole() -> None:
    """Pip would refuse a list in which one digest is missing, on the operator's machine."""
    item = {"metadata": {"name": "Py_YAML"}, "download_info": {"archive_info": {"hashes": {"sha256": "ab"}}}}
    assert ({"py-yaml": "ab"}, "") == requirements._digests({"install": [item]}, {"py-yaml": "1"})
    found, why = requirements._digests({"install": [item]}, {"py-yaml": "1", "numpy": "2"})
    assert ({}, True) == (found, "numpy" in why)


def test_defect_35_a_kit_names_nobody(study: Path, tmp_path: Path) -> None:
    """A person's name or home folder would be handed to strangers."""
    study.write_text(STUDY.replace("refs/any.yuv", "/home/jane/refs/any.yuv"))
    with pytest.raises(RefusedError, match="home folder"):
        build_kit(study, tmp_path / "kit.tar.gz", options())
    assert not (tmp_path / "kit.tar.gz").exists()


def test_studies_that_cannot_travel_are_refused(study: Path, tmp_path: Path) -> None:
    """A kit would be built that fails on the other machine."""
    study.write_text(STUDY.replace("epochs: 3", "epochs: 1"))
    with pytest.raises(StudyError, match="smoke"):
        build_kit(study, tmp_path / "kit.tar.gz", options())
    study.write_text(STUDY)
    for tolerance in ({}, {"plcc": float("nan")}, {"plcc": -1.0}):
        with pytest.raises(HeldoutError):
            build_kit(study, tmp_path / "kit.tar.gz", options(tolerance=tolerance))


@pytest.mark.slow
def test_variants_that_the_gate_requires_come_first(tmp_path: Path) -> None:
    """The verdict would be UNKNOWN for want of a run that nobody was told to make."""
    example = Path(__file__).parents[2] / "examples" / "video" / "study.yaml"
    kit = build_kit(example, tmp_path / "kit.tar.gz", options())
    assert ["unseen-encoder", "base"] == _order(kit.path)
    assert {"unseen-encoder", "base"} == set(kit.document["variants"])
    assert ["sklearn", "video"] == kit.document["extras"]


@pytest.mark.slow
def test_wheels_of_a_folder_go_into_the_kit(study: Path, tmp_path: Path) -> None:
    """A machine without a network could not be served."""
    house = tmp_path / "house"
    house.mkdir()
    (house / "some-1-py3-none-any.whl").write_bytes(b"wheel")
    kit = build_kit(study, tmp_path / "kit.tar.gz", options(wheelhouse=house))
    assert 5 == kit.document["files"]["wheelhouse/some-1-py3-none-any.whl"]["bytes"]
    assert verify_any(kit.path).holds


@pytest.mark.slow
def test_pip_knows_the_digests_of_this_machine_s_wheels() -> None:
    """What is installed on the other machine could be anything of that version."""
    frozen = requirements.freeze(["video"], requirements.running_target(), TORCH, ask_pip=True)
    assert frozen.why == ""
    assert set(frozen.pins) == set(frozen.hashes)
    assert frozen.text().count("--hash=sha256:") == len(frozen.pins)


def _order(path: Path) -> list[str]:
    with tarfile.open(path) as archive:
        name = next(member for member in archive.getnames() if member.endswith("kit.env"))
        stream = archive.extractfile(name)
        assert stream is not None
        line = next(line for line in stream.read().decode().splitlines() if line.startswith("KIT_VARIANTS="))
    found: list[str] = json.loads(line.partition("=")[2]).split()
    return found
