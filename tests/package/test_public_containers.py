"""Containers of anyone: what is no plain file under a safe name is found; archives of other tools are clean."""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from public_kit import CONTRACT, Files, evaluation, write

from heldout.errors import InputError
from heldout.package.public.audit import audit_package

CONTRACTS = {"answers": CONTRACT}
Codes = set[str]
Member = tuple[tarfile.TarInfo, bytes]


def codes(path: Path) -> Codes:
    return {each.code for each in audit_package(path, contract="answers", contracts=CONTRACTS).findings}


def plain(name: str, data: bytes = b"x") -> Member:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    return info, data


def special(name: str, kind: bytes, target: str = "") -> Member:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


def tar(path: Path, *more: Member, files: Files | None = None, **options: object) -> Path:
    members = [*(plain(name, data) for name, data in (files or evaluation()).items()), *more]
    with tarfile.open(path, "w:gz", **options) as archive:  # type: ignore[call-overload]
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return path


def owned(name: str) -> Member:
    info, data = plain(name)
    info.uname = "annsmith"
    return info, data


def commented(name: str) -> Member:
    info, data = plain(name)
    info.pax_headers = {"comment": "by Ann"}
    return info, data


TARS: dict[str, tuple[str, list[Member]]] = {
    "a symbolic link": ("HO-P002", [special("figures/l.png", tarfile.SYMTYPE, "/etc/passwd")]),
    "a hard link": ("HO-P002", [special("figures/l.png", tarfile.LNKTYPE, "metrics.json")]),
    "a device": ("HO-P002", [special("figures/d.png", tarfile.CHRTYPE)]),
    "a block device": ("HO-P002", [special("figures/d.png", tarfile.BLKTYPE)]),
    "a pipe": ("HO-P002", [special("figures/p.png", tarfile.FIFOTYPE)]),
    "a name that climbs": ("HO-P003", [plain("../metrics.json")]),
    "a name that climbs later": ("HO-P003", [plain("figures/../../metrics.json")]),
    "an absolute name": ("HO-P003", [plain("/etc/cron.d/x")]),
    "a drive": ("HO-P003", [plain("C:\\x.json")]),
    "a device's name": ("HO-P003", [plain("figures/NUL.json")]),
    "a hidden file": ("HO-P004", [plain(".env")]),
    "a hidden folder": ("HO-P004", [plain(".git/config")]),
    "one name twice": ("HO-P005", [plain("metrics.json")]),
    "one name but for its case": ("HO-P005", [plain("Metrics.JSON")]),
    "a file inside a file": ("HO-P005", [plain("metrics.json/a.json")]),
    "a file of no role": ("HO-P010", [plain("notes.md")]),
    "weights of no role": ("HO-P010", [plain("model.safetensors")]),
    "a role that the contract withholds": ("HO-P011", [plain("action_space.json", b"{}")]),
    "the owner's name": ("HO-P032", [owned("figures/a.svg")]),
    "a comment in a header": ("HO-P001", [commented("figures/a.svg")]),
}


@pytest.mark.parametrize("case", TARS)
def test_a_hostile_tar_is_found(case: str, tmp_path: Path) -> None:
    """A package would write outside its folder, or carry what its reader does not see."""
    code, members = TARS[case]
    assert code in codes(tar(tmp_path / "p.tar.gz", *members))


def sparse(path: Path) -> None:
    big = path.parent / "big"
    with big.open("wb") as stream:
        stream.truncate(1 << 40)
    info = tarfile.TarInfo("figures/a.png")
    info.type, info.size = tarfile.GNUTYPE_SPARSE, 0
    tar(path, (info, b""))


def trailing(path: Path) -> None:
    tar(path)
    path.write_bytes(path.read_bytes() + b"more")


def behind_the_end(path: Path) -> None:
    tar(path)
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + b"hidden" * 100))


def cut(path: Path) -> None:
    tar(path)
    path.write_bytes(path.read_bytes()[:-40])


def bomb(path: Path) -> None:
    tar(path, plain("figures/a.png", bytes(300 << 20)))


def many(path: Path) -> None:
    tar(path, *(plain(f"figures/{number}.png") for number in range(11_000)))


WHOLE: dict[str, tuple[str, Callable[[Path], None]]] = {
    "a sparse file": ("HO-P002", sparse),
    "bytes behind the packing": ("HO-P001", trailing),
    "bytes behind the end": ("HO-P001", behind_the_end),
    "cut off": ("HO-P001", cut),
    "a bomb": ("HO-P006", bomb),
    "ten thousand files": ("HO-P006", many),
}


LARGE = ("a bomb", "ten thousand files")


@pytest.mark.parametrize("case", [pytest.param(c, marks=pytest.mark.slow) if c in LARGE else c for c in WHOLE])
def test_a_damaged_or_swollen_tar_is_found(case: str, tmp_path: Path) -> None:
    """An audit would hang, fill the disk, or not see what lies behind the end."""
    code, make = WHOLE[case]
    make(tmp_path / "p.tar.gz")
    assert code in codes(tmp_path / "p.tar.gz")


def zip_of(path: Path, change: Callable[[zipfile.ZipFile], None] | None = None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in evaluation().items():
            archive.writestr(name, data)
        if change is not None:
            change(archive)
    return path


def linked(archive: zipfile.ZipFile) -> None:
    info = zipfile.ZipInfo("figures/l.png")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive.writestr(info, "/etc/passwd")


def climbing(archive: zipfile.ZipFile) -> None:
    archive.writestr("../x.json", "{}")


def described(archive: zipfile.ZipFile) -> None:
    archive.comment = b"by Ann"


@pytest.mark.parametrize(
    ("code", "change"),
    [("HO-P002", linked), ("HO-P003", climbing), ("HO-P001", described)],
    ids=["a link", "climbing", "a comment"],
)
def test_a_hostile_zip_is_found(code: str, change: Callable[[zipfile.ZipFile], None], tmp_path: Path) -> None:
    """The same, packed by another tool, would pass."""
    assert code in codes(zip_of(tmp_path / "p.zip", change))


@pytest.mark.parametrize("before", [True, False])
def test_a_zip_that_is_something_else_too_is_found(before: bool, tmp_path: Path) -> None:
    """A film would travel in front of a clean ZIP, or behind it."""
    path = zip_of(tmp_path / "p.zip")
    data = path.read_bytes()
    path.write_bytes(b"PK film" * 9 + data if before else data + b"film" * 99)
    assert "HO-P001" in codes(path)


def test_a_folder_with_links_is_found(tmp_path: Path) -> None:
    """A link in a folder would bring the file behind it into the upload."""
    folder = write(tmp_path / "p", evaluation())
    (folder / "figures" / "l.png").symlink_to("/etc/hostname")
    (folder / "figures" / "f").symlink_to("/etc")
    os.mkfifo(folder / "figures" / "p.png")
    (folder / ".DS_Store").write_bytes(b"x")
    (folder / "METRICS.json").write_bytes(b"{}")
    assert {"HO-P002", "HO-P004", "HO-P005"} <= codes(folder)


@pytest.mark.parametrize("form", ["tar.gz", "tar", "tar.bz2", "tar.xz", "zip", "below a folder", "from a dot", "pax"])
def test_honest_archives_of_other_tools_are_clean(form: str, tmp_path: Path) -> None:
    """The audit would refuse packages for the tool that packed them."""
    path = tmp_path / ("p.zip" if form == "zip" else f"p.{form}" if form.startswith("tar") else "p.tar.gz")
    if form == "zip":
        zip_of(path)
    else:
        top = {"below a folder": "answers-1/", "from a dot": "./"}.get(form, "")
        mode = {"tar": "w", "tar.bz2": "w:bz2", "tar.xz": "w:xz"}.get(form, "w:gz")
        with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
            for name, data in evaluation().items():
                info, data = plain(top + name, data)
                info.mtime = 1_700_000_000.25 if form == "pax" else 1_700_000_000  # type: ignore[assignment]
                archive.addfile(info, io.BytesIO(data))
    assert set() == codes(path)


def test_a_required_file_that_is_missing_is_found(tmp_path: Path) -> None:
    """A package without its predictions would count as whole."""
    files = evaluation()
    del files["predictions.jsonl"]
    found = audit_package(write(tmp_path / "p", files), contract="answers", contracts=CONTRACTS).findings
    assert [("predictions.jsonl", "HO-P013")] == [(each.file, each.code) for each in found]


def test_without_a_contract_the_strict_list_holds(tmp_path: Path) -> None:
    """Training metadata would be published though nobody said that it may be."""
    found = audit_package(write(tmp_path / "p", evaluation())).findings
    assert [("training_metadata.json", "HO-P010")] == [(each.file, each.code) for each in found]


@pytest.mark.parametrize("wrong", ["nothing", "text"])
def test_what_is_no_package_is_bad_input(wrong: str, tmp_path: Path) -> None:
    """A wrong path would look like a clean package."""
    path = tmp_path / "p"
    if wrong == "text":
        path.write_text("hello")
    with pytest.raises(InputError):
        audit_package(path)
    with pytest.raises(InputError, match="no contract"):
        audit_package(write(tmp_path / "q", evaluation()), contract="other", contracts=CONTRACTS)
