"""Raw sources from machine to machine: the same bytes arrive, or none."""

from __future__ import annotations

import json
import random
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from archive_kit import OURS

from heldout.domains.video.kit.extract import extract_corpus
from heldout.domains.video.kit.pack import CODECS, PackOptions, pack_corpus
from heldout.domains.video.kit.study import Adaptation, adapted
from heldout.errors import InputError, TamperedError, UnitError
from heldout.evidence import read_json, sha256_file
from heldout.package.archive.write import write_archive

MakeClip = Callable[..., Path]
MakeFFmpeg = Callable[[str], Path]
FORMATS = {
    "a_64x48_25fps_8bit_420.yuv": "yuv420p",
    "deep/b_64x48_24fps_10bit_422.yuv": "yuv422p10le",
    "deep/c_66x50_30fps_8bit_444.yuv": "yuv444p",
}


@pytest.fixture
def refs(make_clip: MakeClip) -> Path:
    """Three raw files of noise and pictures, one at a depth."""
    folder = Path()
    for name, pix_fmt in FORMATS.items():
        size = name.split("_")[1]
        made = make_clip(f"refs/{name}", frames=5, size=size, pix_fmt=pix_fmt)
        folder = made if "deep" not in name else folder
    return folder.parent


@pytest.fixture
def packed(refs: Path, tmp_path: Path) -> Path:
    return pack_corpus([refs], tmp_path / "t.tar.zst").path


def contents(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.yuv") if not p.name.startswith(".")
    }


@pytest.mark.parametrize("codec", CODECS)
def test_every_codec_returns_the_original_bytes(codec: str, refs: Path, tmp_path: Path) -> None:
    """Sources would be changed on the way, and every score after them."""
    rng = random.Random(0)
    noise = refs / "noise_64x48_25fps_8bit_420.yuv"
    noise.write_bytes(rng.randbytes(64 * 48 * 3 // 2 * 3))
    made = pack_corpus([refs], tmp_path / "t.tar.zst", PackOptions(codec=codec, workers=2))
    assert f"{made.sha256}  t.tar.zst\n" == (tmp_path / "t.tar.zst.sha256").read_text()
    assert not (tmp_path / "t.tar.zst.parts").exists()
    found = extract_corpus(made.path, tmp_path / "there", workers=2)
    assert ({}, 0, 4) == (found.failed, found.reused, len(found.files))
    assert contents(refs) == contents(tmp_path / "there" / "refs")


def test_defect_8a3_the_second_file_is_extracted_too(packed: Path, tmp_path: Path) -> None:
    """FFmpeg would eat the list of files from standard input and end after the first."""
    assert 3 == len(extract_corpus(packed, tmp_path / "there").files)


def test_defect_8a4_extracted_files_are_where_the_next_step_looks(packed: Path, tmp_path: Path) -> None:
    """The pipeline would find no source, or not know its geometry."""
    extract_corpus(packed, tmp_path / "there")
    for path in (tmp_path / "there").rglob("*.yuv"):
        path.rename(path.with_name(f"{path.name[0]}.yuv"))
    noted = tmp_path / "there" / "refs" / "sources.json"
    sources = {
        f"{k.rpartition('/')[0]}/{Path(k).name[0]}.yuv".lstrip("/"): v for k, v in read_json(noted)["sources"].items()
    }
    noted.write_text(json.dumps({"sources": sources}))
    study = tmp_path / "study.yaml"
    study.write_text("corpus: {path: c/x.jsonl, produce: {sources: [{path: a.y4m}], encoders: [libx264], cqs: [30]}}\n")
    found = adapted(study, tmp_path, Adaptation(ref_dir=tmp_path / "there"))["corpus"]["produce"]["sources"]
    assert {("a.yuv", "yuv420p"), ("b.yuv", "yuv422p10le"), ("c.yuv", "yuv444p")} == {
        (Path(s["path"]).name, s["pix_fmt"]) for s in found
    }


def test_published_lists_speak_of_the_originals_and_of_no_folder(packed: Path, refs: Path, tmp_path: Path) -> None:
    """A receiver of the existing kind could not check the files, or would learn where they lay."""
    with tarfile.open(fileobj=_plain(packed, tmp_path)) as archive:
        archive.extractall(tmp_path / "open", **OURS)
    lossless = tmp_path / "open" / "corpus-transport" / "lossless"
    for line in (lossless / "manifest.sha256").read_text().splitlines():
        sha256, name = line.split("  ")
        assert sha256_file(refs.parent / name) == sha256
    rows = [json.loads(line) for line in (lossless / "manifest.jsonl").read_text().splitlines()]
    keys = {"corpus", "yuv", "mkv", "pix_fmt", "width", "height", "fps", "in_bytes", "out_bytes", "yuv_sha256"}
    assert [keys] * 3 == [set(row) for row in rows]
    for path in (tmp_path / "open").rglob("*.json*"):
        assert str(tmp_path) not in path.read_text()


def test_an_encoder_that_loses_something_is_found_at_the_senders(
    refs: Path, tmp_path: Path, make_ffmpeg: MakeFFmpeg
) -> None:
    """The receiver would be the first to see it, days later."""
    lossy = make_ffmpeg(
        "if '-slicecrc' in args: args[args.index('-vf') if '-vf' in args else -1:-1] = ['-vf', 'negate']"
    )
    with pytest.raises(UnitError, match="without loss: ffv1: it decodes to other bytes"):
        pack_corpus([refs], tmp_path / "t.tar.zst", PackOptions(ffmpeg=lossy))
    assert not (tmp_path / "t.tar.zst").exists()


def test_packing_goes_on_where_it_was_stopped(refs: Path, tmp_path: Path, make_ffmpeg: MakeFFmpeg) -> None:
    """A night of encoding would begin anew."""
    broken = make_ffmpeg("if '-slicecrc' in args and 'c_66x50' in text: sys.exit(1)")
    options = PackOptions(ffmpeg=broken)
    with pytest.raises(UnitError):
        pack_corpus([refs], tmp_path / "t.tar.zst", options)
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "t.tar.zst.parts").glob("*.mkv")}
    assert 2 == len(kept)
    torn = next((tmp_path / "t.tar.zst.parts").glob("*.mkv"))
    torn.write_bytes(torn.read_bytes()[:-1])  # its card no longer vouches for it
    made = pack_corpus([refs], tmp_path / "t.tar.zst")
    assert contents(refs) == contents(extract_corpus(made.path, tmp_path / "there").folder / "refs")


def test_extraction_goes_on_where_it_was_stopped(packed: Path, tmp_path: Path) -> None:
    """Files that are there would be decoded again, or a torn one be taken for whole."""
    there = tmp_path / "there"
    extract_corpus(packed, there, keep=True)
    files = sorted((there / "refs").rglob("*.yuv"))
    files[0].write_bytes(files[0].read_bytes()[:-1])
    untouched = files[1].stat().st_mtime_ns
    found = extract_corpus(packed, there)
    assert ({}, 2, untouched) == (found.failed, found.reused, files[1].stat().st_mtime_ns)
    assert not list(there.glob(".transport-*"))


ATTACKS = {
    "other-sha256": lambda d: d["sources"]["refs/a_64x48_25fps_8bit_420.yuv"].update(sha256="0" * 64),
    "other-size": lambda d: d["sources"]["refs/a_64x48_25fps_8bit_420.yuv"].update(bytes=1),
}
DAMAGED = {
    "climbing-name": lambda d: d["sources"].update({"refs/../../evil.yuv": next(iter(d["sources"].values()))}),
    "climbing-mkv": lambda d: next(iter(d["sources"].values())).update(mkv="../../evil.mkv"),
    "option-for-a-format": lambda d: next(iter(d["sources"].values())).update(pix_fmt="-i /etc/passwd"),
    "no-size": lambda d: next(iter(d["sources"].values())).pop("bytes"),
    "unnamed-file": lambda d: d["files"].pop("lossless/summary.json"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_file_that_is_not_the_original_does_not_arrive(attack: str, packed: Path, tmp_path: Path) -> None:
    """Another film would be encoded under the name of the one that was sent."""
    found = extract_corpus(_forged(packed, tmp_path, ATTACKS[attack]), tmp_path / "there")
    assert ["refs/a_64x48_25fps_8bit_420.yuv"] == list(found.failed)
    assert not (tmp_path / "there" / "refs" / "a_64x48_25fps_8bit_420.yuv").exists()
    assert 2 == len(found.files)


@pytest.mark.parametrize("attack", DAMAGED)
def test_a_hostile_manifest_is_refused(attack: str, packed: Path, tmp_path: Path) -> None:
    """A name of the manifest would become a path, or an argument of FFmpeg."""
    with pytest.raises((TamperedError, InputError, Exception)) as caught:
        extract_corpus(_forged(packed, tmp_path, DAMAGED[attack]), tmp_path / "there")
    assert 3 == caught.value.exit_code  # type: ignore[attr-defined]
    assert not list(tmp_path.rglob("evil*"))


def test_an_archive_that_is_not_the_one_of_its_digest_is_refused(packed: Path, tmp_path: Path) -> None:
    """An exchanged file would be seen only after it was decoded."""
    packed.with_name("t.tar.zst.sha256").write_text("0" * 64 + "  t.tar.zst\n")
    with pytest.raises(TamperedError):
        extract_corpus(packed, tmp_path / "there")


def test_a_file_of_broken_frames_or_unknown_geometry_is_refused(refs: Path, tmp_path: Path) -> None:
    """A torn file would be packed as if it were whole."""
    torn = refs / "torn_64x48_25fps_8bit_420.yuv"
    torn.write_bytes(b"x" * 100)
    with pytest.raises(InputError, match="whole number of frames"):
        pack_corpus([refs], tmp_path / "t.tar.zst")
    torn.rename(refs / "who.yuv")
    with pytest.raises(InputError, match="does not say its own"):
        pack_corpus([refs], tmp_path / "t.tar.zst")


def test_two_corpora_of_one_name_are_refused(refs: Path, tmp_path: Path) -> None:
    """One of two files would be lost on the way."""
    shutil.copytree(refs, tmp_path / "other" / "refs")
    with pytest.raises(InputError, match="two files would be"):
        pack_corpus([refs, tmp_path / "other" / "refs"], tmp_path / "t.tar.zst")


def _plain(path: Path, scratch: Path):  # type: ignore[no-untyped-def]
    import io

    import zstandard

    return io.BytesIO(zstandard.ZstdDecompressor().decompressobj().decompress(path.read_bytes()))


def _forged(packed: Path, tmp_path: Path, change: Callable[[dict], object]) -> Path:  # type: ignore[type-arg]
    """The transport with another manifest, its own digests mended."""
    with tarfile.open(fileobj=_plain(packed, tmp_path)) as archive:
        archive.extractall(tmp_path / "forge", **OURS)
    top = tmp_path / "forge" / "corpus-transport"
    document = json.loads((top / "transport.json").read_text())
    change(document)
    (top / "transport.json").write_text(json.dumps(document))
    files = {path.relative_to(top).as_posix(): path for path in top.rglob("*") if path.is_file()}
    write_archive(tmp_path / "forged.tar.zst", dict(files), top="corpus-transport")
    return tmp_path / "forged.tar.zst"
