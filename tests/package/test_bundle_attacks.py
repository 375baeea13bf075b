"""A bundle that came back: whatever was done to it on the way is refused, with the right code, and nothing stays."""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from portable_kit import Forge, Judged, copied, make_judged, member

from heldout.errors import HeldoutError, InputError, RefusedError, TamperedError
from heldout.evidence import dumps, read_json, sha256_file
from heldout.package.archive.write import write_archive
from heldout.package.kit.bundle import build_bundle
from heldout.package.kit.importing import import_bundle
from heldout.package.verify.any import verify_any


def packed(folder: Path, out: Path) -> Path:
    """A folder as a bundle, without any check."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    write_archive(out, dict(files), top="results")
    return out


def mended(folder: Path) -> None:
    """The manifest as the enemy mends it after a change."""
    document = read_json(folder / "bundle.json")
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "bundle.json"]
    document["files"] = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256_file(path)}
        for path in files
    }
    (folder / "bundle.json").write_bytes(dumps(document))


def run_of(folder: Path) -> Path:
    (found,) = (folder / "runs" / "tabled").glob("base-*")
    return found


def edit(folder: Path, name: str, old: str, new: str) -> None:
    path = run_of(folder) / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_an_honest_bundle_is_imported_and_verifies(bundle: Path, tmp_path: Path) -> None:
    """The way back would be shut for everybody."""
    found = import_bundle(bundle, tmp_path / "imports", deep=True)
    assert ("PROMOTE", True) == (found.verification.verdict, found.promoted)
    assert found.run.is_dir()
    assert verify_any(bundle).holds
    assert verify_any(found.folder).holds
    assert ["no kit is named: what was handed over is not known"] == list(found.notes)
    again = import_bundle(bundle, tmp_path / "imports")
    assert found.folder == again.folder


def test_equal_runs_give_equal_bundles(judged: Judged, bundle: Path, tmp_path: Path) -> None:
    """The digest that the operator tells on the telephone would not be that of the file."""
    again = build_bundle(judged.folder, tmp_path / "again.tar.gz", corpus=judged.corpus)
    assert sha256_file(bundle) == again.sha256


Attack = Callable[[Path], None]
PLAIN: dict[str, Attack] = {
    "changed-byte": lambda folder: edit(folder, "RUN_REPORT.md", "PROMOTE", "PROMOTe"),
    "missing-file": lambda folder: (run_of(folder) / "predictions.csv").unlink(),
    "extra-file": lambda folder: (folder / "extra.txt").write_text("x") and None,
    "extra-file-among-fits": lambda folder: (run_of(folder) / "fits" / "x.json").write_text("{}") and None,
    "no-manifest-entry-for-it": lambda folder: edit_manifest(folder, "files", {}),
    "another-verdict-sha256": lambda folder: edit_manifest(folder, "verdict_sha256", "0" * 64),
    "another-verdict": lambda folder: edit_manifest(folder, "verdict", "HOLD"),
    "another-device": lambda folder: edit_manifest(folder, "device", "cuda"),
    "another-host": lambda folder: edit_manifest(folder, "host", {"name": "box"}),
    "another-run": lambda folder: edit_manifest(folder, "run", "base-20200101-00000000"),
    "a-run-that-climbs": lambda folder: edit_manifest(folder, "run", ".."),
    "another-schema": lambda folder: edit_manifest(folder, "schema", "heldout.bundle/2"),
}
MENDED: dict[str, Attack] = {
    "predictions": lambda folder: edit(folder, "predictions.jsonl", '"seed0":', '"seed0":1'),
    "metrics": lambda folder: edit(folder, "metrics.json", '"plcc": 0.9', '"plcc": 0.8'),
    "verdict-turned": lambda folder: (run_of(folder) / "PROMOTE.json").rename(run_of(folder) / "HOLD.json") and None,
    "a-rule-loosened": lambda folder: edit(folder, "study.lock.yaml", "at_least: 0.9", "at_least: 0.1"),
    "a-fit-removed": lambda folder: shutil.rmtree(next((run_of(folder) / "fits").iterdir())),
    "no-ledger": lambda folder: edit(folder, "PROMOTE.json", '"attempt": 1', '"attempt": 2'),
}


def edit_manifest(folder: Path, key: str, value: object) -> None:
    document = read_json(folder / "bundle.json")
    (folder / "bundle.json").write_bytes(dumps(document | {key: value}))


@pytest.mark.parametrize("attack", PLAIN)
def test_what_the_manifest_does_not_say_is_refused(attack: str, unpacked: Path, tmp_path: Path) -> None:
    """A file could be changed, taken out or slipped in on the way."""
    PLAIN[attack](unpacked)
    _refused(packed(unpacked, tmp_path / "attacked.tar.gz"), tmp_path / "imports")


@pytest.mark.parametrize("attack", MENDED)
def test_a_change_with_a_mended_manifest_is_found_by_recomputing(attack: str, unpacked: Path, tmp_path: Path) -> None:
    """Whoever can pack an archive could write himself a PROMOTE."""
    MENDED[attack](unpacked)
    mended(unpacked)
    _refused(packed(unpacked, tmp_path / "attacked.tar.gz"), tmp_path / "imports")


def test_hostile_members_are_refused_by_import_and_verify(forge: Forge, tmp_path: Path) -> None:
    """The checker would be there and nobody would ask it."""
    for hostile in (
        member("results/../../evil"),
        member("/evil"),
        member("results/link", kind=tarfile.SYMTYPE, link="/etc/passwd"),
        member("results/device", kind=tarfile.CHRTYPE),
    ):
        archive = forge(member("results/bundle.json", b"{}"), hostile)
        _refused(archive, tmp_path / "imports")
        with pytest.raises(RefusedError):
            verify_any(archive)


def test_an_archive_of_another_kind_is_bad_input(tmp_path: Path) -> None:
    """Somebody who names the wrong archive would be told of an attack."""
    write_archive(tmp_path / "x.tar.gz", {"top/a": b""})
    with pytest.raises(InputError, match=r"holds no bundle.json"):
        import_bundle(tmp_path / "x.tar.gz", tmp_path / "imports")


@pytest.mark.slow
def test_nothing_private_leaves(judged: Judged, tmp_path: Path) -> None:
    """A person's name, a host's name or a home folder would be published with the results."""
    for text in ("/home/jane/film.yuv", "/Users/jane/x", "C:\\\\Users\\\\jane", "jane@example.org"):
        mine = copied(judged, tmp_path / f"copy{abs(hash(text))}")
        (mine.folder / "fits").joinpath("note.md").write_text(text)
        _rewrite(mine.folder, "RUN_REPORT.md", text)
        with pytest.raises(HeldoutError) as caught:
            build_bundle(mine.folder, tmp_path / "out.tar.gz")
        assert 3 == caught.value.exit_code
        assert text not in str(caught.value)


def test_private_words_in_the_corpus_manifest_are_scrubbed(judged: Judged, tmp_path: Path) -> None:
    """FFmpeg's last words name the folders of whoever ran it."""
    mine = copied(judged, tmp_path / "copy")
    (mine.corpus.parent / "manifest.json").write_text(
        json.dumps({"missing": [{"log": ["/home/jane/a.yuv: no"], "path": "/home/jane/a.yuv"}], "argv": ["/home/jane"]})
    )
    made = build_bundle(mine.folder, tmp_path / "out.tar.gz", corpus=mine.corpus)
    found = import_bundle(made.path, tmp_path / "imports")
    assert {"missing": [{"path": "a.yuv"}]} == read_json(found.folder / "corpus" / "manifest.json")


def test_private_words_are_refused_at_the_leads_too(unpacked: Path, tmp_path: Path) -> None:
    """A bundle that was packed by other means would bring them in."""
    (unpacked / "note.md").write_text("from /home/jane/films")
    mended(unpacked)
    with pytest.raises(RefusedError, match="person's name"):
        import_bundle(packed(unpacked, tmp_path / "x.tar.gz"), tmp_path / "imports")


def test_a_run_that_does_not_verify_is_not_packed(judged: Judged, tmp_path: Path) -> None:
    """The operator would send what the lead must refuse."""
    mine = copied(judged, tmp_path / "copy")
    (mine.folder / "predictions.csv").write_text("")
    with pytest.raises(TamperedError):
        build_bundle(mine.folder, tmp_path / "out.tar.gz")
    assert not (tmp_path / "out.tar.gz").exists()


def test_another_corpus_is_not_packed_as_the_judged_one(judged: Judged, tmp_path: Path) -> None:
    """The lead would look at rows that nobody judged."""
    (tmp_path / "other.csv").write_text("site,a,b,y\n")
    with pytest.raises(InputError, match="not the corpus that was judged"):
        build_bundle(judged.folder, tmp_path / "out.tar.gz", corpus=tmp_path / "other.csv")


@pytest.mark.slow
def test_a_hold_travels_like_a_promote(tmp_path: Path) -> None:
    """A HOLD would be kept to himself by whoever got it."""
    held = make_judged(tmp_path / "held", bound=0.99999)
    found = import_bundle(build_bundle(held.folder, tmp_path / "h.tar.gz").path, tmp_path / "imports")
    assert ("HOLD", False) == (found.verification.verdict, found.promoted)


def _refused(archive: Path, imports: Path) -> None:
    with pytest.raises(HeldoutError) as caught:
        import_bundle(archive, imports)
    assert 3 == caught.value.exit_code, str(caught.value)
    assert [] == list(imports.iterdir())


def _rewrite(run: Path, name: str, text: str) -> None:
    """A text of the run with other words, every digest above it mended."""
    from heldout.run.layout import files_digest, run_files, write_manifest

    (run / "fits" / "note.md").unlink()
    (run / name).write_text((run / name).read_text() + text)
    verdict = read_json(run / "PROMOTE.json")
    verdict["judged"]["files_sha256"] = files_digest(run_files(run))
    (run / "PROMOTE.json").write_bytes(dumps(verdict))
    write_manifest(run)
