"""A signed verdict: whoever rewrites the whole run together is found, and whoever holds another key too."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from heldout.cli.main import main
from heldout.documents.names import SIGNATURE_FILE
from heldout.errors import InputError, PrerequisiteError, TamperedError
from heldout.evidence import read_json, sha256_file, write_json
from heldout.run.layout import files_digest, run_files, write_manifest
from heldout.verify import verify_run

pytest.importorskip("securesystemslib")
from heldout.verify.signing import new_key, sign_run


@pytest.fixture
def key(tmp_path: Path) -> Path:
    new_key(tmp_path / "signer")
    return tmp_path / "signer"


def public(key: Path) -> Path:
    return key.with_name(key.name + ".pub")


def test_a_signed_run_is_verified_by_its_public_key(victim: Any, key: Path) -> None:
    """An honest signature would be refused."""
    run = victim("promote")
    assert sign_run(run, key) == run / SIGNATURE_FILE
    found = verify_run(run, key=public(key))
    found.raise_if_broken()
    assert {"signature": "OK"} == {link.id: link.state for link in found.links if link.id == "signature"}
    assert "vouches for every file" in found.left_open
    assert verify_run(run).holds


def test_the_envelope_is_dsse_and_the_statement_in_toto(victim: Any, key: Path) -> None:
    """No other tool could verify our signatures."""
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    run = victim("hold")
    envelope = read_json(sign_run(run, key))
    payload, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"].encode()
    encoded = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
    loaded: Any = load_pem_public_key(public(key).read_bytes())
    loaded.verify(base64.b64decode(envelope["signatures"][0]["sig"]), encoded)
    statement = json.loads(payload)
    assert "https://in-toto.io/Statement/v1" == statement["_type"]
    assert read_json(run / "HOLD.json") == statement["predicate"]
    subjects = {subject["name"]: subject["digest"]["sha256"] for subject in statement["subject"]}
    assert sha256_file(run / "manifest.json") == subjects["manifest.json"]
    assert all(sha256_file(run / name) == sha256 for name, sha256 in subjects.items())
    assert {*run_files(run), "manifest.json"} == set(subjects)


def reseal(run: Path, verdict: dict[str, Any]) -> None:
    verdict["judged"]["files_sha256"] = files_digest(run_files(run))
    write_json(run / "PROMOTE.json", verdict)
    write_manifest(run)


def change_date(run: Path) -> None:
    verdict = read_json(run / "PROMOTE.json")
    reseal(run, verdict | {"generated_at_utc": "2020-01-01T00:00:00+00:00"})


def change_report(run: Path) -> None:
    (run / "report.html").write_text("<h1>Excellent</h1>")
    reseal(run, read_json(run / "PROMOTE.json"))


def change_payload(run: Path) -> None:
    envelope = read_json(run / SIGNATURE_FILE)
    payload = base64.b64decode(envelope["payload"]).replace(b'"PROMOTE"', b'"HOLD"')
    write_json(run / SIGNATURE_FILE, envelope | {"payload": base64.b64encode(payload).decode()})


def change_signature(run: Path) -> None:
    envelope = read_json(run / SIGNATURE_FILE)
    data = bytearray(base64.b64decode(envelope["signatures"][0]["sig"]))
    data[0] ^= 1
    envelope["signatures"][0]["sig"] = base64.b64encode(data).decode()
    write_json(run / SIGNATURE_FILE, envelope)


def drop_signatures(run: Path) -> None:
    write_json(run / SIGNATURE_FILE, read_json(run / SIGNATURE_FILE) | {"signatures": []})


def change_payload_type(run: Path) -> None:
    write_json(run / SIGNATURE_FILE, read_json(run / SIGNATURE_FILE) | {"payloadType": "text/plain"})


def remove_envelope(run: Path) -> None:
    (run / SIGNATURE_FILE).unlink()


def damage_envelope(run: Path) -> None:
    (run / SIGNATURE_FILE).write_text('{"payload": 3}')


ATTACKS = [change_date, change_report, change_payload, change_signature, drop_signatures, change_payload_type,
           remove_envelope, damage_envelope]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("attack", ATTACKS)
def test_a_rewritten_run_does_not_keep_its_signature(attack: Any, victim: Any, key: Path) -> None:
    """A run that was rewritten from end to end would keep the name of the one who signed another."""
    run = victim("promote")
    sign_run(run, key)
    attack(run)
    broken = verify_run(run, key=public(key)).broken
    assert broken is not None
    assert broken.id == "signature"


def test_an_envelope_of_another_run_is_no_signature(victim: Any, honest: dict[str, Any], key: Path) -> None:
    """A signature could be moved under another verdict."""
    run, other = victim("hold"), victim("second")
    (other / SIGNATURE_FILE).write_bytes(sign_run(run, key).read_bytes())
    broken = verify_run(other, key=public(key)).broken
    assert broken is not None
    assert broken.what.startswith("the signature is over another")


def test_two_signers_sign_one_verdict(victim: Any, key: Path, tmp_path: Path) -> None:
    """The second signature would throw the first one away."""
    run, second = victim("promote"), tmp_path / "second-signer"
    new_key(second)
    sign_run(run, key)
    assert verify_run(run, key=public(second)).broken is not None
    sign_run(run, second)
    assert verify_run(run, key=public(key)).holds
    assert verify_run(run, key=public(second)).holds


def test_a_broken_chain_is_not_signed(victim: Any, key: Path) -> None:
    """A name would stand under evidence that was tampered with."""
    run = victim("promote")
    (run / "metrics.json").write_bytes((run / "metrics.json").read_bytes() + b"\n")
    with pytest.raises(TamperedError):
        sign_run(run, key)
    assert not (run / SIGNATURE_FILE).exists()


@pytest.mark.slow
def test_judging_again_drops_the_old_signature(tmp_path: Path, key: Path) -> None:
    """A new verdict would lie beside a signature of the old one."""
    from heldout import Study

    conftest = Path(__file__).with_name("conftest.py").read_text()
    text = conftest.split('STUDY = """')[1].split('"""')[0].format(table="t.csv", bound=0.3)
    rows = "\n".join(f"{i % 7},{i % 5},{i % 3},{'abcd'[i % 4]},{i % 7 + 0.1 * (i % 4)}" for i in range(48))
    (tmp_path / "t.csv").write_text(f"a,b,c,site,y\n{rows}\n")
    (tmp_path / "study.yaml").write_text(text)
    study = Study.load(tmp_path / "study.yaml")
    run = study.run(runs=tmp_path / "runs", workers=1).folder
    sign_run(run, key)
    study.run(runs=tmp_path / "runs", workers=1)
    assert (run / SIGNATURE_FILE).exists()  # nothing changed: nothing was judged
    (run / "report.html").unlink()
    study.run(runs=tmp_path / "runs", workers=1)
    assert not (run / SIGNATURE_FILE).exists()
    assert verify_run(run).holds


def test_keys_are_ed25519_and_never_replaced(victim: Any, key: Path, tmp_path: Path) -> None:
    """A key would be lost, readable by others, or of a kind that nobody expects."""
    run = victim("promote")
    assert 0o600 == key.stat().st_mode & 0o777
    with pytest.raises(InputError, match="exists already"):
        new_key(key)
    for wrong in (public(key), tmp_path / "missing"):
        with pytest.raises(InputError):
            sign_run(run, wrong)
    sign_run(run, key)
    with pytest.raises(InputError, match="no such key"):
        verify_run(run, key=key)


def test_a_key_of_openssl_signs(victim: Any, tmp_path: Path) -> None:
    """Keys of other tools could not be used."""
    mine = tmp_path / "theirs"
    try:
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", mine], check=True, capture_output=True)
        subprocess.run(["openssl", "pkey", "-in", mine, "-pubout", "-out", public(mine)], check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("openssl with Ed25519 is not installed")
    run = victim("promote")
    sign_run(run, mine)
    assert verify_run(run, key=public(mine)).holds


def test_without_the_library_a_key_is_refused(victim: Any, key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signature that was asked for and not looked at would pass for verified."""
    run = victim("promote")
    monkeypatch.setitem(sys.modules, "securesystemslib.dsse", None)
    with pytest.raises(PrerequisiteError, match="heldout\\[sign\\]"):
        verify_run(run, key=public(key))
    assert verify_run(run).holds


def test_the_command_signs(victim: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The documented commands would not work."""
    run, key = victim("promote"), tmp_path / "me"

    def command(*words: object) -> int:
        monkeypatch.setattr(sys, "argv", ["heldout", *(str(word) for word in words)])
        with pytest.raises(SystemExit) as caught:
            main()
        return int(caught.value.code or 0)

    assert command("sign", "--new-key", key) == 0
    assert command("verify", run, "--key", public(key)) == 3
    assert command("sign", run, "--key", key) == 0
    assert command("verify", run, "--key", public(key)) == 0
    assert command("sign", run) == 2
