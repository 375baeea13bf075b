"""Forbidden things under allowed names: each is refused by the packager and found by the audit, with its code."""

from __future__ import annotations

import gzip
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from public_kit import (
    CONTRACT,
    Files,
    arrays,
    chunk,
    encoded,
    evaluation,
    gps,
    hdf5,
    joblib_file,
    jpeg,
    mp4,
    npy,
    npz,
    onnx_file,
    parquet,
    png,
    safetensors,
    segment,
    sqlite_file,
    tarred,
    torch_file,
    write,
    zipped,
)

from heldout.errors import RefusedError
from heldout.package.public.audit import audit_package
from heldout.package.public.publish import package_public

CONTRACTS = {"answers": CONTRACT}
REPORT, METRICS, CSV, ROWS = "RUN_REPORT.md", "metrics.json", "per_class_metrics.csv", "predictions.jsonl"
PLOT, PHOTO, TRAINING = "figures/loss.png", "figures/photo.jpg", "training_metadata.json"


class Plant(NamedTuple):
    """One forbidden thing: under which name, as which code, and its bytes."""

    name: str
    code: str
    make: Callable[[], bytes]


def metrics(**more: object) -> Callable[[], bytes]:
    return lambda: json.dumps({"action_accuracy": 0.25} | more).encode()


def report(text: str) -> Callable[[], bytes]:
    return lambda: f"# Report\n\n{text}\n".encode()


def drawing(text: str) -> Callable[[], bytes]:
    return lambda: f'<svg xmlns="http://www.w3.org/2000/svg">{text}</svg>'.encode()


def joined(*parts: str) -> str:
    """A token as its service would write it; in parts, so that no scanner takes this file for a leak."""
    return "".join(parts)


CONTENT = {
    "weights renamed .md": Plant(REPORT, "HO-P020", safetensors),
    "weights renamed .json": Plant(METRICS, "HO-P020", safetensors),
    "NumPy array as CSV": Plant(CSV, "HO-P020", npy),
    "NumPy archive as CSV": Plant(CSV, "HO-P020", npz),
    "ONNX graph as JSON": Plant(METRICS, "HO-P020", onnx_file),
    "GGUF as JSONL": Plant(ROWS, "HO-P020", lambda: b"GGUF\x03\x00\x00\x00" + bytes(64)),
    "weights as lists in JSON": Plant(
        METRICS, "HO-P020", metrics(state_dict={k: v.tolist() for k, v in arrays().items()})
    ),
    "weights as an unnamed list": Plant(METRICS, "HO-P026", metrics(values=[0.5] * 5000)),
    "film as JSON": Plant(METRICS, "HO-P021", mp4),
    "raw video as CSV": Plant(CSV, "HO-P021", lambda: b"YUV4MPEG2 W8 H8 F25:1\nFRAME\n" + bytes(96)),
    "Matroska as a report": Plant(REPORT, "HO-P021", lambda: b"\x1aE\xdf\xa3" + bytes(64)),
    "sound as JSONL": Plant(ROWS, "HO-P021", lambda: b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(32)),
    "MP3 as CSV": Plant(CSV, "HO-P021", lambda: b"ID3\x04\x00\x00\x00\x00\x00\x00" + bytes(32)),
    "HDF5 as JSON": Plant(METRICS, "HO-P021", hdf5),
    "HDF5 behind a user block": Plant(METRICS, "HO-P021", lambda: bytes(512) + hdf5()),
    "Rerun recording as JSONL": Plant(ROWS, "HO-P021", lambda: b"RRF2" + bytes(64)),
    "HDF5 in a ZIP as CSV": Plant(CSV, "HO-P021", lambda: zipped("annotation.hdf5", hdf5())),
    "film in gzip in tar as CSV": Plant(CSV, "HO-P021", lambda: tarred("a.gz", gzip.compress(mp4()))),
    "ZIP as CSV": Plant(CSV, "HO-P022", lambda: zipped("a.csv", b"a,b\n1,2\n")),
    "gzip as JSONL": Plant(ROWS, "HO-P022", lambda: gzip.compress(b'{"id": 1}\n')),
    "ZIP in a ZIP in a ZIP": Plant(
        CSV, "HO-P020", lambda: zipped("a", zipped("b", zipped("c.safetensors", safetensors())))
    ),
    "archives without end": Plant(CSV, "HO-P006", lambda: _nested(7)),
    "ZIP behind a CSV": Plant(CSV, "HO-P022", lambda: b"a,b\n1,2\n" + zipped("a.txt", b"x")),
    "bomb in gzip": Plant(ROWS, "HO-P006", lambda: gzip.compress(bytes(80 << 20))),
    "Parquet as CSV": Plant(CSV, "HO-P023", parquet),
    "SQLite as JSON": Plant(METRICS, "HO-P023", sqlite_file),
    "program as a report": Plant(REPORT, "HO-P023", lambda: b"\x7fELF\x02\x01\x01" + bytes(64)),
    "PDF as a report": Plant(REPORT, "HO-P023", lambda: b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\n"),
    "bytes of no format": Plant(REPORT, "HO-P023", lambda: bytes(range(256)) * 8),
    "pickle as JSON": Plant(METRICS, "HO-P024", lambda: pickle.dumps(arrays())),
    "pickle of protocol 0 as a report": Plant(REPORT, "HO-P024", lambda: pickle.dumps({"a": [1, 2]}, protocol=0)),
    "torch file as JSON": Plant(METRICS, "HO-P024", torch_file),
    "joblib file as CSV": Plant(CSV, "HO-P024", joblib_file),
    "joblib file, packed, as CSV": Plant(CSV, "HO-P024", lambda: joblib_file(3)),
    "weights in base 64 in JSON": Plant(METRICS, "HO-P025", lambda: metrics(blob=encoded(safetensors()))()),
    "what the base 64 holds": Plant(METRICS, "HO-P020", lambda: metrics(blob=encoded(safetensors()))()),
    "weights in lines of base 64": Plant(REPORT, "HO-P025", lambda: report(encoded(safetensors(), 76))()),
    "weights in hexadecimal": Plant(METRICS, "HO-P025", lambda: metrics(blob=safetensors().hex())()),
    "weights in base 85": Plant(REPORT, "HO-P025", lambda: report(__import__("base64").b85encode(npz()).decode())()),
    "NaN in JSON": Plant(METRICS, "HO-P012", lambda: b'{"action_accuracy": NaN}'),
    "a key twice": Plant(METRICS, "HO-P012", lambda: b'{"a": 1, "a": 2}'),
    "torn JSONL": Plant(ROWS, "HO-P012", lambda: b'{"id": "a"}\n{"id": "b'),
    "predictions of nothing": Plant(ROWS, "HO-P012", lambda: b'{"w": 0.5}\n'),
    "JSON as a picture": Plant(PLOT, "HO-P012", lambda: b"{}"),
    "picture as JSON": Plant(METRICS, "HO-P021", png),
    "a damaged picture": Plant(PLOT, "HO-P027", lambda: png()[:-8]),
    "pixels that hide something": Plant(
        PLOT, "HO-P027", lambda: png().replace(_idat(bytes(20)), _idat(bytes(20) + safetensors()))
    ),
    "a script that calls home": Plant("figures/a.svg", "HO-P028", drawing("<script>fetch('//a.b')</script>")),
    "a style from elsewhere": Plant(
        "figures/a.svg", "HO-P028", drawing("<style>@import 'https://a.b/c.css';</style>")
    ),
    "a picture from elsewhere": Plant(
        "figures/a.svg", "HO-P028", drawing('<image href="https://a.b/c.png"/>')
    ),
    "a film in a page": Plant(
        "figures/a.svg", "HO-P028", lambda: drawing(f'<image href="data:video/mp4;base64,{encoded(mp4())}"/>')()
    ),
    "weights that say that they are a plot": Plant(
        "figures/a.svg", "HO-P020", lambda: drawing(f'<image href="data:image/png;base64,{encoded(safetensors())}"/>')()
    ),
    "a formula in a cell": Plant(CSV, "HO-P029", lambda: b"label,recall\n\"=cmd|'/C calc'!A0\",1\n"),
    "a formula with a sign": Plant(CSV, "HO-P029", lambda: b"label,recall\n+SUM(A1:A9),1\n"),
    "an AWS key": Plant(REPORT, "HO-P030", report(joined("AKIA", "IOSFODNN7EXAMPLQ"))),
    "a GitHub token": Plant(METRICS, "HO-P030", metrics(note=joined("ghp_", "a1B2" * 9))),
    "a fine-grained GitHub token": Plant(METRICS, "HO-P030", metrics(note=joined("github_pat_", "a1B2c3" * 8))),
    "a Slack token": Plant(REPORT, "HO-P030", report(joined("xoxb-", "1234567890-1234567890-", "aBcDeF" * 4))),
    "a Hugging Face token": Plant(TRAINING, "HO-P030", metrics(log=joined("hf_", "aBcDeFgH" * 4))),
    "a private key": Plant(REPORT, "HO-P030", report(joined("-----BEGIN ", "RSA PRIVATE KEY-----\nMIIE"))),
    "a private key in JSON": Plant(METRICS, "HO-P030", metrics(k=joined("-----BEGIN ", "PRIVATE KEY-----\nMIIE"))),
    "a JSON web token": Plant(
        METRICS, "HO-P030",
        metrics(jwt=joined("eyJhbGciOiJIUzI1NiJ9", ".eyJzdWIiOiIxMjM0NTY3ODkwIn0", ".c2lnbmF0dXJlMTIzNDU2Nzg")),
    ),
    "a password in an address": Plant(REPORT, "HO-P030", report(joined("postgres://ann:", "s3cr3t@db.lan/x"))),
    "a password under its name": Plant(TRAINING, "HO-P030", metrics(db_password="correct-horse")),
    "a token under its name": Plant(TRAINING, "HO-P030", metrics(access_token="0123456789abcdef")),
    "a password in a report": Plant(REPORT, "HO-P030", report(joined('api_key = "', 'a1b2c3d4e5f6a7b8"'))),
    "a Google key": Plant(METRICS, "HO-P030", metrics(note=joined("AIza", "SyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q"))),
    "a Stripe key": Plant(METRICS, "HO-P030", metrics(note=joined("sk_live_", "a1B2c3D4" * 3))),
    "a bearer token": Plant(REPORT, "HO-P030", report(joined("Authorization: ", "Bearer abcdef0123456789abcdef"))),
    "a home folder, by its code points": Plant(REPORT, "HO-P032", report(r"\u002fhome\u002fann\u002fdata")),
    "a home folder as entities": Plant("figures/a.svg", "HO-P032", drawing("<text>&#47;home&#47;ann&#47;x</text>")),
    "a file that is too large": Plant(REPORT, "HO-P006", lambda: b"word " * 11_000_000),
}  # fmt: skip


def _idat(pixels: bytes) -> bytes:
    import zlib

    return chunk(b"IDAT", zlib.compress(pixels))


def _nested(depth: int) -> bytes:
    data = b"x"
    for _ in range(depth):
        data = zipped("inner.zip", data)
    return data


# What the packager takes out by itself, and the audit finds in packages of others.
MENDED = {
    "a home folder on Linux": Plant(METRICS, "HO-P032", metrics(path="/home/ann/data/a.mp4")),
    "a home folder on macOS": Plant(REPORT, "HO-P032", report("read from /Users/ann/data/a.mp4")),
    "a home folder on Windows": Plant(METRICS, "HO-P032", metrics(path="C:\\Users\\ann\\data\\a.mp4")),
    "a home folder with blanks": Plant(METRICS, "HO-P031", metrics(path="/Users/Ann Smith/data")),
    "a home folder as a key": Plant(METRICS, "HO-P032", metrics(**{"/home/ann/x": 1})),
    "a home folder, escaped in JSON": Plant(METRICS, "HO-P032", lambda: b'{"a": "\\u002fhome\\/ann\\/x"}'),
    "a home folder below others": Plant(REPORT, "HO-P032", report("../../home/ann/x")),
    "a home folder in a CSV": Plant(CSV, "HO-P032", lambda: b"label,recall\n/home/ann/a.mp4,1\n"),
    "a home folder, escaped for a browser": Plant(REPORT, "HO-P032", report("%2Fhome%2Fann%2Fdata")),
    "a home folder, escaped in a script": Plant(REPORT, "HO-P032", report(r"\/home\/ann\/data")),
    "an absolute path": Plant(METRICS, "HO-P031", metrics(path="/data/xperience/ep1")),
    "another drive": Plant(REPORT, "HO-P031", report(r"D:\work\secret\a.csv")),
    "an address of a file": Plant(REPORT, "HO-P031", report("file:///srv/data/a.csv")),
    "a share of a server": Plant(METRICS, "HO-P033", metrics(path="\\\\nas01\\team\\a.csv")),
    "a login": Plant(REPORT, "HO-P033", report("copied from ann@gpu-box:~/runs")),
    "a host under its name": Plant(METRICS, "HO-P033", metrics(hostname="gpu-17.lan")),
    "a user under its name": Plant(METRICS, "HO-P032", metrics(user="annsmith")),
    "an e-mail address": Plant(REPORT, "HO-P034", report("ask ann.smith@example.com")),
    "EXIF with a place on earth": Plant(PHOTO, "HO-P027", lambda: jpeg(gps())),
    "a comment in a photograph": Plant(PHOTO, "HO-P027", lambda: jpeg(segment(0xFE, b"taken by Ann"))),
    "text in a plot": Plant(PLOT, "HO-P027", lambda: png(chunk(b"tEXt", b"Author\x00Ann"))),
    "packed text in a plot": Plant(PLOT, "HO-P027", lambda: png(chunk(b"zTXt", b"a\x00\x00" + b"x" * 9))),
    "weights behind a plot": Plant(PLOT, "HO-P027", lambda: png(behind=safetensors())),
}


def planted(tmp_path: Path, plant: Plant) -> Path:
    files: Files = evaluation()
    files[plant.name] = plant.make()
    return write(tmp_path / "evaluation", files)


@pytest.mark.parametrize("case", CONTENT)
def test_what_is_forbidden_is_refused_and_nothing_is_written(case: str, tmp_path: Path) -> None:
    """Someone would publish weights, media, a token or a person's folder under a harmless name."""
    plant = CONTENT[case]
    folder, out = planted(tmp_path, plant), tmp_path / "public.tar.gz"
    with pytest.raises(RefusedError) as caught:
        package_public(folder, out, contract="answers", contracts=CONTRACTS)
    assert 3 == caught.value.exit_code
    assert f"{plant.code}" in f"{caught.value.code} {caught.value}"
    assert caught.value.hint
    assert not out.exists()
    found = audit_package(folder, contract="answers", contracts=CONTRACTS)
    assert (plant.code, True) in {(each.code, each.file.startswith(plant.name)) for each in found.findings}


@pytest.mark.parametrize("case", MENDED)
def test_what_can_be_taken_out_is_found_in_others_and_taken_out_of_ours(case: str, tmp_path: Path) -> None:
    """Home folders, hosts and places on earth would leave with a public package."""
    plant = MENDED[case]
    folder = planted(tmp_path, plant)
    found = audit_package(folder, contract="answers", contracts=CONTRACTS)
    assert (plant.code, plant.name) in {(each.code, each.file) for each in found.findings}
    out = tmp_path / "public"
    package_public(folder, out, contract="answers", contracts=CONTRACTS)
    published = b"".join(path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file())
    for word in (
        b"ann/",
        b"ann\\",
        b"Smith",
        b"annsmith",
        b"gpu-",
        b"nas01",
        b"secret",
        b"xperience/",
        b"Exif",
        b"Ann",
    ):
        assert word not in published
    assert [] == audit_package(out, contract="answers", contracts=CONTRACTS).findings


def test_a_clean_evaluation_raises_nothing(tmp_path: Path) -> None:
    """The audit would cry wolf, and nobody would read it."""
    folder = write(tmp_path / "evaluation", evaluation())
    assert [] == audit_package(folder, contract="answers", contracts=CONTRACTS).findings
    made = package_public(folder, tmp_path / "p.tar.gz", contract="answers", contracts=CONTRACTS)
    assert {} == made.document["replaced"]
    assert not any(entry["scrubbed"] for entry in made.document["files"].values())
    assert audit_package(tmp_path / "p.tar.gz", contract="answers", contracts=CONTRACTS).clean


def test_there_are_enough_attacks() -> None:
    """Someone could thin the table out unnoticed."""
    assert 80 <= len(CONTENT) + len(MENDED)
