"""The steps as shells: every shell reads them, every variable reaches heldout, every exit code means what it says."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from nightly import NIGHTLY
from platform_tokens import TOKENS, fakes

from heldout.package.kit.build import STEPS

FILES = Path(__file__).parents[2] / "src" / "heldout" / "package" / "kit" / "steps"
SHELLS = sorted(path.name for path in FILES.glob("*.sh"))
# Stands in for heldout: writes down how it was called, in which folder, and answers as it is told.
RECORDER = """#!/bin/sh
printf '%s|%s\\n' "$PWD" "$*" >> "$RECORD"
case "$*" in
    "run "*) exit "${RUN_CODE:-0}" ;;
    *--exportable*) exit "${EXPORTABLE_CODE:-0}" ;;
    "kit verdict"*) exit "${VERDICT_CODE:-0}" ;;
    "video export"*) exit "${EXPORT_CODE:-0}" ;;
    "video encode"*) exit "${ENCODE_CODE:-0}" ;;
    doctor*) exit "${DOCTOR_CODE:-0}" ;;
    "kit study"*) while [ "$1" != --out ]; do shift; done; : > "$2" ;;
esac
"""


class Kit:
    """An unpacked kit whose heldout only takes notes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for path in FILES.iterdir():
            if path.suffix in (".sh", ".py"):
                shutil.copy(path, folder / path.name)
                (folder / path.name).chmod(0o755)
        (folder / "kit.env").write_text('KIT_VARIANT=base\nKIT_VARIANTS="first base"\nKIT_BUILT_WITH=3.11\n')
        (folder / "kit.json").write_text('{"files": {}}')
        (folder / "study.yaml").write_text("study: x\n")
        self.record = folder / "record"
        self.heldout = folder / "recorder"
        self.heldout.write_text(RECORDER)
        self.heldout.chmod(0o755)
        self.refs = folder / "refs with space"
        self.refs.mkdir()

    def run(self, step: str, *arguments: str, shell: str = "sh", **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "RECORD": str(self.record)}
        environment |= {"HELDOUT": str(self.heldout), "KIT_PYTHON": sys.executable} | variables
        return subprocess.run(
            [shell, str(self.folder / step), *arguments], cwd=self.folder, env=environment, capture_output=True,
            text=True, check=False, timeout=120,
        )  # fmt: skip

    @property
    def calls(self) -> list[str]:
        lines = self.record.read_text().splitlines() if self.record.exists() else []
        return [line.partition("|")[2] for line in lines]


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    folder = tmp_path / "a kit"
    folder.mkdir()
    return Kit(folder)


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_defect_8a8_shellcheck_finds_nothing() -> None:
    """A step would break on a name with a space, or on another shell."""
    done = subprocess.run(["shellcheck", "-x", *SHELLS], cwd=FILES, capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stdout)


def test_defect_8a8_nothing_that_bash_3_or_macos_lacks() -> None:
    """The kit would die on macOS: no mapfile, no sha256sum, no stat -c, no arrays."""
    for name in SHELLS:
        text = (FILES / name).read_text()
        for word in (
            "mapfile",
            "readarray",
            "sha256sum",
            "stat -c",
            "[[",
            "<<<",
            "local ",
            "declare",
            "${!",
            "readlink -f",
        ):
            assert word not in text, (name, word)
    for name in STEPS:
        assert (FILES / name).read_text().startswith("#!/bin/sh\n")


@pytest.mark.parametrize("shell", ["dash", "bash", "sh"])
@pytest.mark.parametrize("name", SHELLS)
def test_every_shell_can_read_every_step(shell: str, name: str) -> None:
    """A step would be a syntax error where /bin/sh is another program."""
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell}")
    posix = ["--posix"] if shell == "bash" else []
    assert 0 == subprocess.run([shell, *posix, "-n", str(FILES / name)], check=False).returncode


def test_the_whole_pipeline_calls_heldout_in_order(kit: Kit) -> None:
    """A step would be forgotten, or work on other files than the one before it."""
    done = kit.run(
        "run-full-pipeline.sh", "--ref-dir", "refs with space", "--cqs", "20,40", "--seeds", "3", "--out-dir", "o"
    )
    assert 0 == done.returncode, done.stderr
    verbs = [" ".join(call.split()[:2]) if call.split()[0] != "doctor" else "doctor" for call in kit.calls]
    assert [
        "doctor", "kit study", "video encode", "run " + verbs[3].split()[1], "run " + verbs[4].split()[1],
        "kit verdict", "kit verdict", "kit verdict", "video export", "kit bundle",
    ] == verbs  # fmt: skip
    study = next(call for call in kit.calls if call.startswith("kit study"))
    assert f"--ref-dir {kit.folder}/refs with space " in study
    assert "--cqs 20,40 --seeds 3" in study
    assert "[pipeline] PROMOTE" in done.stdout
    assert {str(kit.folder / "o")} == {line.partition("|")[0] for line in kit.record.read_text().splitlines()}


CODES = {
    "hold": ({"VERDICT_CODE": "1", "EXPORTABLE_CODE": "1"}, 1, "kit bundle"),
    "doctor": ({"DOCTOR_CODE": "2"}, 2, "doctor"),
    "encode-fails": ({"ENCODE_CODE": "2"}, 2, "video encode"),
    "interrupted-in-encode": ({"ENCODE_CODE": "130"}, 130, "video encode"),
    "held-and-judged": ({"RUN_CODE": "1", "VERDICT_CODE": "1", "EXPORTABLE_CODE": "1"}, 1, "kit bundle"),
    "fits-failed": ({"RUN_CODE": "5"}, 5, "run"),
    "bad-corpus": ({"RUN_CODE": "2"}, 2, "run"),
    "no-verdict": ({"VERDICT_CODE": "2"}, 2, "kit verdict"),
    "tampered": ({"VERDICT_CODE": "3"}, 3, "kit verdict"),
}


@pytest.mark.parametrize("case", CODES)
def test_exit_codes_reach_the_caller_and_nothing_runs_after_a_failure(case: str, kit: Kit) -> None:
    """A failure would pass for a HOLD, or a HOLD for a failure."""
    variables, code, last = CODES[case]
    done = kit.run("run-full-pipeline.sh", "--ref-dir", "refs with space", **variables)
    assert code == done.returncode, done.stderr
    assert kit.calls[-1].startswith(last)


def test_defect_8a2_a_failed_export_is_an_error_and_no_bundle(kit: Kit) -> None:
    """A "PROMOTE" bundle would be shipped without its models."""
    done = kit.run("run-full-pipeline.sh", "--ref-dir", "refs with space", EXPORT_CODE="2")
    assert 2 == done.returncode
    assert not [call for call in kit.calls if call.startswith("kit bundle")]


WRONG = (
    ("run-full-pipeline.sh",),
    ("run-full-pipeline.sh", "--ref-dir"),
    ("run-full-pipeline.sh", "--ref-dir", "nowhere"),
    ("run-full-pipeline.sh", "--reference", "x"),
    ("02-generate-corpus.sh",),
    ("03-train-loso.sh",),
    ("04-validate.sh",),
    ("05-bundle-results.sh",),
)


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_bad_input_exits_with_2_and_says_what_is_wrong(words: tuple[str, ...], kit: Kit) -> None:
    """An operator would sit before a silent shell."""
    done = kit.run(words[0], *words[1:])
    assert (2, True) == (done.returncode, "error: " in done.stderr)
    assert [] == kit.calls


def test_help_is_no_error(kit: Kit) -> None:
    """Nobody could ask what the options are."""
    done = kit.run("run-full-pipeline.sh", "--help")
    assert (0, True) == (done.returncode, "--ref-dir" in done.stdout)


def test_variables_as_published_reach_the_commands(kit: Kit) -> None:
    """An override that people know would be ignored."""
    out = {"OUT_DIR": str(kit.folder / "elsewhere"), "PHASE_A_DIR": "cells", "BUNDLE_DEST": "dest"}
    geometry = {"WIDTH": "640", "HEIGHT": "360", "PIX_FMT": "yuv420p", "FRAMERATE": "24", "FFMPEG": "bin/ffmpeg"}
    done = kit.run(
        "02-generate-corpus.sh",
        REF_DIR="refs with space",
        ENCODERS="libx264",
        SEEDS="7",
        KIT_WORKERS="2",
        **out,
        **geometry,
    )
    assert 0 == done.returncode, done.stderr
    study, encode = kit.calls
    for words in ("--encoders libx264", "--seeds 7", "--width 640 --height 360 --pix-fmt yuv420p --fps 24"):
        assert words in study
    assert f"--ffmpeg {kit.folder}/bin/ffmpeg" in study
    assert f"--out {kit.folder}/cells" in encode
    assert "--workers 2" in encode
    assert 0 == kit.run("05-bundle-results.sh", KIT_WITHOUT_CORPUS="1", **out).returncode
    assert f"--out {kit.folder}/dest --without-corpus" in kit.calls[-1]


def test_a_corpus_that_is_there_needs_no_step_02(kit: Kit) -> None:
    """A merged corpus of several machines could not be trained on."""
    (kit.folder / "merged.jsonl").write_text("")
    assert 0 == kit.run("03-train-loso.sh", CORPUS_JSONL="merged.jsonl").returncode
    assert kit.calls[0].startswith("kit study")
    assert f"--corpus {kit.folder}/merged.jsonl" in kit.calls[0]
    assert 2 == kit.run("03-train-loso.sh", CORPUS_JSONL="nothing.jsonl").returncode


def test_a_changed_kit_is_refused_before_anything_is_installed(kit: Kit) -> None:
    """Whoever changed a wheel on the way would have his code run."""
    (kit.folder / "kit.json").write_text('{"files": {"study.yaml": {"sha256": "0"}}}')
    done = kit.run("01-prereqs.sh")
    assert (3, True, []) == (done.returncode, "study.yaml was changed" in done.stderr, kit.calls)


def test_no_python_is_said_so(kit: Kit) -> None:
    """The first step would end in a shell's own words."""
    bare = kit.folder / "bin"
    bare.mkdir()
    for name in ("dirname", "mkdir", "sh"):
        (bare / name).symlink_to(str(shutil.which(name)))
    done = kit.run("01-prereqs.sh", PATH=str(bare), KIT_PYTHON="", shell=str(shutil.which("sh")))
    assert (2, True) == (done.returncode, "no Python 3.11" in done.stderr)


# What the machine is found to be is asked of every platform in this process (test_machine.py); a shell and a doctor for
# each of them are the night's.
@pytest.mark.slow
@pytest.mark.parametrize("case", TOKENS if NIGHTLY else ("linux-cuda-and-ihd", "mac-arm", "other"))
def test_step_01_names_the_token_of_every_platform(case: str, kit: Kit) -> None:
    """The published contract of platform detection would not hold through the shell."""
    pytest.importorskip("imageio_ffmpeg")
    system, machine, has, token, _ = TOKENS[case]
    (kit.folder / "study.yaml").write_text(
        "study: x\ncorpus: {reader: table, path: t.csv, group: g, target: y}\nbackbone: sklearn\n"
        "fit: {estimator: sklearn.linear_model.Ridge}\ngate: {rules: [{id: r, metric: rmse, at_most: 1}]}\n"
    )
    real = Path(sys.executable).parent / "heldout"
    done = kit.run("01-prereqs.sh", HELDOUT=str(real), HOME=str(kit.folder), **fakes(system, machine, has))
    assert 0 == done.returncode, done.stdout + done.stderr
    assert any(
        line.split()[1:3] == ["platform", token] or (token == "unknown" and "unknown system" in line)
        for line in done.stdout.splitlines()
    )
