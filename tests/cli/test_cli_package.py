"""The command `package`: its exit codes, its documents, and what it prints."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from public_kit import CONTRACT, evaluation, safetensors, write
from published_kit import noisy, predictions_of, write_dataset, write_lines

pytest.importorskip("detect_secrets")
Heldout = Callable[..., Any]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace with one contract of its own, derived from a built-in one."""
    from heldout.domains.embodied.contract.contracts import BUILT_IN

    config = json.loads((BUILT_IN / "qwen3_omni_lora.json").read_text()) | {"id": "answers"}
    config["artifact_contract"] = CONTRACT["artifact_contract"]
    write(tmp_path / "configs" / "backbones", {"answers.json": json.dumps(config).encode()})
    write(tmp_path / "evaluation", evaluation())
    return tmp_path


def test_a_run_is_packed_audited_and_verified(heldout: Heldout, workspace: Path) -> None:
    """The three commands would not fit together."""
    options = ("--contract", "answers", "--workspace", workspace)
    made = heldout("package", "public", workspace / "evaluation", "--out", workspace / "p.tar.gz", *options, "--json")
    assert 0 == made.code, made.err
    document = json.loads(made.out)
    assert "heldout.public/1" == document["schema"]
    assert "predictions" == document["files"]["run/predictions.jsonl"]["role"]
    audited = heldout("package", "audit", workspace / "p.tar.gz", *options, "--json")
    assert 0 == audited.code
    assert ("CLEAN", []) == tuple(json.loads(audited.out)[key] for key in ("result", "findings"))
    verified = heldout("verify", workspace / "p.tar.gz")
    assert 0 == verified.code, verified.out
    assert "VERIFIED" in verified.out


def test_a_refusal_says_file_place_reason_and_mend(heldout: Heldout, workspace: Path) -> None:
    """Whoever is refused would not know what to do."""
    (workspace / "evaluation" / "RUN_REPORT.md").write_bytes(safetensors())
    options = ("--contract", "answers", "--workspace", workspace)
    refused = heldout("package", "public", workspace / "evaluation", "--out", workspace / "p.tar.gz", *options)
    assert 3 == refused.code
    assert "error [HO-P020]: this is safetensors" in refused.err
    assert "where: run/RUN_REPORT.md" in refused.err
    assert "fix:" in refused.err
    assert not (workspace / "p.tar.gz").exists()
    audited = heldout("package", "audit", workspace / "evaluation", *options, "--json")
    assert 3 == audited.code
    (finding,) = json.loads(audited.out)["findings"]
    assert ("HO-P020", "RUN_REPORT.md", "docs/package.md#ho-p020") == tuple(
        finding[key] for key in ("code", "file", "page")
    )


def test_a_scored_evaluation_is_published_by_its_contract(heldout: Heldout, tmp_path: Path) -> None:
    """What `heldout eval score` writes could not be given to anyone, or its verdict be shown with other numbers."""
    dataset = write_dataset(tmp_path / "dataset.jsonl")
    write_lines(tmp_path / "predictions.jsonl", predictions_of(dataset, noisy(1)))
    labels = ("--train-labels", tmp_path / "dataset.jsonl", "--out", tmp_path / "scored")
    heldout("eval", "score", "--backbone", "qwen3_omni_lora", tmp_path / "predictions.jsonl", *labels)
    contract = ("--contract", "qwen3_omni_lora")
    made = heldout("package", "public", tmp_path / "scored", "--out", tmp_path / "p", *contract)
    assert 0 == made.code, made.err
    assert 0 == heldout("package", "audit", tmp_path / "p").code
    links = {each["id"]: each["state"] for each in json.loads(heldout("verify", tmp_path / "p", "--json").out)["links"]}
    assert ("OK", "OK", "OK") == (links["package-files"], links["package-origin"], links["package-bound"])
    document = json.loads((tmp_path / "p" / "public.json").read_text())
    for entry in (document["files"]["run/metrics.json"]["original"], document["files"]["run/metrics.json"]):
        entry["sha256"] = "0" * 64
    (tmp_path / "p" / "public.json").write_text(json.dumps(document))
    assert 3 == heldout("verify", tmp_path / "p").code


def test_an_unknown_contract_is_bad_input(heldout: Heldout, workspace: Path) -> None:
    """A misspelt contract would fall back to another list."""
    found = heldout("package", "audit", workspace / "evaluation", "--contract", "qwen3_omni_lor")
    assert 2 == found.code
    assert "did you mean 'qwen3_omni_lora'" in found.err


def test_every_built_in_contract_publishes_what_it_requires(heldout: Heldout, tmp_path: Path) -> None:
    """One backbone's packages would need a packager of their own."""
    from heldout.domains.embodied.contract.contracts import BUILT_IN
    from heldout.package.public.roles import publication_of

    for path in sorted(BUILT_IN.glob("*.json")):
        contract = json.loads(path.read_text())
        publication = publication_of(contract)
        assert () == publication.unread, path.name
        for name in contract["artifact_contract"]["required_eval_files"]:
            assert publication.role_of(f"run/{name}") is not None, (path.name, name)
        for name in ("model.safetensors", "adapter_model.safetensors", "episode.mp4", "annotation.hdf5", "x.tar.gz"):
            assert publication.role_of(f"run/{name}") is None
