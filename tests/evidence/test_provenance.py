"""The provenance block: enough to make a result again, and nothing that names a person or a machine."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from heldout.evidence import dumps, loads, provenance, sha256_file


def test_the_block_has_every_published_key_and_what_they_lacked(tmp_path: Path) -> None:
    """A result could not be traced to its code, packages and device."""
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("{}\n")
    block = provenance.build(
        args={"loso_dir": tmp_path, "lr": float("nan"), "seeds": (0, 1), "nested": {"p": Path("a/b"), "n": None}},
        inputs={"corpus": corpus, "corpus_root": tmp_path, "gone": tmp_path / "none"},
        outputs={"report_target": "runs/x.json", "table": tmp_path / "later.csv"},
        device="cuda:NVIDIA H200",
    )
    assert block["schema"] == "ai-run-provenance-v1"
    assert {"entrypoint", "argv", "args", "inputs", "outputs", "code", "packages", "host", "device"} <= set(block)
    assert block["inputs"]["corpus"]["sha256"] == sha256_file(corpus)
    assert [block["inputs"][name]["kind"] for name in ("corpus", "corpus_root", "gone")] == ["file", "dir", "missing"]
    assert [block["inputs"][name]["exists"] for name in ("corpus", "corpus_root", "gone")] == [True, True, False]
    assert block["outputs"]["report_target"] == "runs/x.json"
    assert block["outputs"]["table"]["kind"] == "missing"
    assert (block["args"]["lr"], block["args"]["seeds"]) == (None, [0, 1])
    assert block["args"]["nested"] == {"p": "a/b", "n": None}
    assert {"numpy", "polars", "heldout"} <= set(block["packages"])
    assert re.fullmatch(r"[0-9a-f]{64}", block["code"]["sha256"])
    assert loads(dumps(block), where="x") == json.loads(json.dumps(block))


def test_paths_are_written_without_a_home_or_a_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A published verdict would carry a user's name."""
    home, work = tmp_path / "home" / "alice", tmp_path / "elsewhere"
    work.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(work)
    assert provenance.portable(work / "runs" / "a.json") == "runs/a.json"
    assert provenance.portable(home / "corpora" / "c.jsonl") == "~/corpora/c.jsonl"
    assert provenance.portable(Path("/srv/secret/project/c.jsonl")) == "c.jsonl"
    assert provenance.portable(Path("runs/a.json")) == "runs/a.json"
    assert provenance.portable("--seeds") == "--seeds"
    assert provenance.portable("fit.epochs=5") == "fit.epochs=5"
    assert provenance.portable(f"--runs={home}/runs") == "--runs=~/runs"
    assert provenance.portable(str(home / "study.yaml")) == "~/study.yaml"
    assert provenance.portable(home / "c.jsonl", root=home) == "c.jsonl"


@pytest.mark.parametrize("working", ["/", "above"])
def test_a_working_folder_above_the_homes_names_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, working: str
) -> None:
    """A container works in `/`: every path in its verdicts would be the whole one, with the user's name in it."""
    home = tmp_path / "home" / "alice"
    home.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir("/" if working == "/" else home.parent)
    assert provenance.portable(home / "corpora" / "c.jsonl") == "~/corpora/c.jsonl"
    assert provenance.portable(home.parent / "bob" / "c.jsonl") == "c.jsonl"
    assert provenance.portable(f"--runs={home}/runs") == "--runs=~/runs"


@pytest.mark.parametrize("home", ["/", None])
def test_an_account_without_a_home_can_run(monkeypatch: pytest.MonkeyPatch, home: str | None) -> None:
    """A container with an arbitrary user would crash at its verdict, or write `~/` before every path."""
    if home is None:

        def no_home(*_: object) -> Path:
            raise RuntimeError("Could not determine home directory.")

        monkeypatch.setattr(Path, "home", no_home)
    else:
        monkeypatch.setenv("HOME", home)
    assert provenance.portable(Path("/srv/data/c.jsonl")) == "c.jsonl"


def test_the_block_names_no_person_and_no_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shared file would tell who ran it and where."""
    home = tmp_path / "zebulon"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USER", "zebulon")
    monkeypatch.setattr(sys, "argv", ["heldout", "run", str(home / "study.yaml"), f"--runs={home}/runs"])
    text = json.dumps(provenance.build(args={"out": home / "x"}, inputs={"c": home / "c"}, outputs={"o": home / "o"}))
    assert "zebulon" not in text
    assert os.uname().nodename not in text


def test_the_code_digest_is_of_the_sources_alone(tmp_path: Path) -> None:
    """Two installations of one version would seem to be two programs, or an edited one the same."""
    root = Path(provenance.__file__).parents[1]
    copy = tmp_path / "site" / "heldout"
    shutil.copytree(root, copy, ignore=shutil.ignore_patterns("__pycache__"))
    script = "from heldout.evidence.provenance import code_digest, code_revision; print(code_digest(), code_revision())"

    def digest() -> list[str]:
        environment = dict(os.environ, PYTHONPATH=str(copy.parent), PYTHONDONTWRITEBYTECODE="1")
        command = [sys.executable, "-c", script]
        return subprocess.run(command, env=environment, text=True, capture_output=True, check=True).stdout.split()

    first = digest()
    assert first[1] == "unknown"
    (copy / "notes.txt").write_text("not code")
    (copy / "report" / "extra.py").write_text("# shows a number, makes none")
    assert digest() == first
    (copy / "evidence" / "strict.py").write_text((copy / "evidence" / "strict.py").read_text() + "\n# changed\n")
    assert digest() != first


def test_the_revision_is_of_this_checkout_even_inside_a_hook(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A commit hook of another repository would put that one's commit into the evidence."""
    provenance.code_revision.cache_clear()
    plain = provenance.code_revision()
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / ".git"))
    provenance.code_revision.cache_clear()
    assert provenance.code_revision() == plain
    assert plain == "unknown" or re.fullmatch(r"[0-9a-f]{40}(\+dirty)?", plain)
