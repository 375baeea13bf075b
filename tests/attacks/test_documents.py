"""Documents of strangers: what they may cost, what they may show, and whose code they may run."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import socket
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from attack_kit import Desk, heldout, module_of, route, rows_of_groups, table_desk
from public_kit import evaluation

from heldout.errors import HeldoutError, InputError
from heldout.package.archive.read import read_members
from heldout.package.archive.write import write_archive
from heldout.package.public.audit import audit_package
from heldout.printable import printable
from heldout.study.yaml import load_yaml, parse_yaml
from heldout.task.table import safe_for_spreadsheets

DEEP = "a document that costs more than its size says"
PLACE = "something else in place of a file"
HIDES = "bytes that hide in an archive"
SHOWN = "text that steers whoever looks at it"
SECRET = "a secret that is written down"
CODE = "code of a stranger"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was promoted."""
    desk = table_desk(tmp_path_factory.mktemp("finished"))
    assert 0 == desk.run().code
    return desk.newest


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of a promoted run with its ledger, to be changed."""
    shutil.copytree(finished.parents[1], tmp_path / "runs")
    return tmp_path / "runs" / finished.parent.name / finished.name


# What it may cost.

DEEP_STUDIES = {
    "open brackets": b"a: " + b"[" * 5_000,
    "brackets that close": b"a: " + b"[" * 5_000 + b"]" * 5_000,
    "braces": b"a: " + b"{a: " * 5_000,
    "levels of indentation": b"".join(b" " * n + b"a:\n" for n in range(1_000)),
    "dashes on a line": b"- " * 5_000,
    "question marks": b"? " * 5_000,
}


@route(DEEP, "sender of a bundle", "A study is `a: ` and 5,000 open brackets, or as many dashes or levels.", "stopped")
@pytest.mark.parametrize("case", DEEP_STUDIES)
def test_a_deep_study_is_refused_at_level_64(case: str, tmp_path: Path) -> None:
    """PyYAML's time grows with the square of the depth: 5 KB would take a minute."""
    (tmp_path / "study.yaml").write_bytes(DEEP_STUDIES[case])
    found = heldout("run", "study.yaml", cwd=tmp_path)
    assert 2 == found.code
    assert "nested more than 64 levels deep" in found.err
    parse_yaml(b"a: " + b"[" * 60 + b"]" * 60, Path("study.yaml"))


@pytest.mark.slow
@route(DEEP, "sender of a bundle", "A study has more than 100,000 values, or more than a mebibyte.", "stopped")
def test_a_study_is_bounded_in_nodes_and_bytes(tmp_path: Path) -> None:
    """A file of flat lists would take as long as one that is deep."""
    with pytest.raises(HeldoutError, match="more than 100000 nodes"):
        parse_yaml(b"a: [" + b"1," * 100_001 + b"]", Path("study.yaml"))
    (tmp_path / "study.yaml").write_bytes(b"a: 1\n" + b"#" * (1 << 20))
    with pytest.raises(HeldoutError, match="more than this kind of file may have"):
        load_yaml(tmp_path / "study.yaml")


def _bomb(levels: int = 10) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines) + "\n"


LOCKS = {
    "nested aliases": lambda lock: _bomb() + lock,
    "one anchor": lambda lock: lock.replace("seeds:", "seeds: &s", 1),
    "a tag": lambda lock: lock.replace("study: ", "study: !!python/name:os.system ", 1),
    "two documents": lambda lock: lock + "---\na: 1\n",
    "a merge key": lambda lock: lock + "<<: {a: 1}\n",
    "a comment": lambda lock: lock + "# agreed with Ann\n",
    "deep brackets": lambda lock: lock + "z: " + "[" * 5_000,
}


@pytest.mark.slow
@route(DEEP, "sender of a bundle", "A lock of 2.8 KB has aliases of aliases that stand for 4 GB; or a tag.", "TAMPERED")
@pytest.mark.parametrize("case", LOCKS)
def test_a_lock_is_read_only_in_the_form_in_which_a_run_writes_it(case: str, run: Path) -> None:
    """A verifier would run out of memory on a file of 3 KB, or take a comment for agreed."""
    lock = run / "study.lock.yaml"
    lock.write_text(LOCKS[case](lock.read_text()))
    assert 3 == heldout("verify", run).code


@route(
    DEEP,
    "sender of a bundle",
    "A document of a run is nested 129 levels, or has a number of 301 digits.",
    "TAMPERED",
)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PROMOTE.json", "[" * 129 + "]" * 129),
        ("manifest.json", "1" + "0" * 300),
        ("metrics.json", "[" * 100_000),
        ("run.json", "1e999"),
        ("corpus.json", '"\\ud800"'),
    ],
)
def test_json_is_bounded_in_depth_and_digits(name: str, value: str, run: Path) -> None:
    """A parser would recurse or overflow far from the file that made it."""
    text = (run / name).read_text()
    (run / name).write_text(text.replace("{", '{"a": ' + value + ",", 1))
    found = heldout("verify", run)
    assert 3 == found.code
    assert "Traceback" not in found.err


# What stands in place of a file.


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the name of a socket is short
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(path.name)
    os.chdir(here)


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _link(path: Path) -> None:
    path.symlink_to(path.with_name("moved"))


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


OTHERS: dict[str, Callable[[Path], None]] = {
    "a pipe": _pipe, "a socket": _socket, "a link to a device": _device, "a link to the file": _link,
    "a link to itself": _loop, "a folder": lambda path: path.mkdir(),
}  # fmt: skip
DOCUMENTS = ("PROMOTE.json", "run.json", "manifest.json", "metrics.json", "predictions.jsonl", "predictions.csv",
             "study.lock.yaml", "corpus.json", "split.json", "report.html", "fits/seed0/g0/unit.json",
             "fits/seed0/g0/predictions.safetensors", "fits/seed0/g0/model.skops")  # fmt: skip


@route(PLACE, "sender of a bundle", "A pipe, a socket, a device or a link stands for a document of a run.", "TAMPERED")
@pytest.mark.parametrize(
    ("name", "other"),
    [pytest.param(name, other, id=f"{other} for {name}") for name in DOCUMENTS for other in OTHERS],
)
def test_no_document_of_a_run_is_anything_but_a_file(other: str, name: str, run: Path) -> None:
    """A verifier would wait for ever, or read a file of its own machine as if it had been sent."""
    (run / name).rename((run / name).with_name("moved"))
    OTHERS[other](run / name)
    (run / "moved").unlink(missing_ok=True) if other != "a link to the file" else None
    found = heldout("verify", run)
    assert found.code in (2, 3)
    assert "Traceback" not in found.err


@route(PLACE, "careless user", "A study, a corpus, a bundle or an archive on the command line is a pipe.", "stopped")
@pytest.mark.parametrize(
    "command",
    [
        ("run", "pipe"), ("check", "pipe"), ("verify", "pipe"), ("kit", "import", "pipe", "--into", "imports"),
        ("package", "audit", "pipe"), ("gate", "plan", "pipe"), ("gate", "--reported", "pipe"), ("zoo", "list", "pipe"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_pipe_on_the_command_line_is_refused(command: tuple[str, ...], tmp_path: Path) -> None:
    """A command would hang without a word."""
    os.mkfifo(tmp_path / "pipe")
    found = heldout(*command, cwd=tmp_path)
    assert 2 == found.code
    assert "Traceback" not in found.err


@pytest.mark.slow
@route(PLACE, "careless user", "The table of a study is a pipe, whatever its suffix.", "stopped")
@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_a_corpus_that_is_a_pipe_is_refused_and_a_link_to_a_file_is_not(suffix: str, tmp_path: Path) -> None:
    """A run would hang before its first line; a corpus on another disk would need a copy."""
    desk = table_desk(tmp_path, name=f"table{suffix}")
    table = tmp_path / f"table{suffix}"
    table.rename(tmp_path / f"there{suffix}")
    table.symlink_to(f"there{suffix}")
    assert 0 == desk.heldout("check", "study.yaml").code
    table.unlink()
    os.mkfifo(table)
    found = desk.run()
    assert 2 == found.code
    assert "a pipe stands where a plain file should be" in found.err


@route(PLACE, "sender of a bundle", "A pipe stands for a video or a sound of an episode.", "stopped")
@pytest.mark.parametrize("reader", ["video_facts", "iterate_frames", "read_sound", "sound_rate"])
def test_no_media_of_an_episode_is_anything_but_a_file(reader: str, tmp_path: Path) -> None:
    """A decoder that opens a pipe waits for whoever writes there, which is nobody."""
    pytest.importorskip("av")
    from heldout.domains.embodied.episodes import media

    for name in ("a.mp4", "a.wav"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(InputError, match="pipe"):  # a generator opens its file at its first frame
            list(getattr(media, reader)(tmp_path / name))


@pytest.mark.slow
@route(PLACE, "disk", "A pipe stands where a run appends its progress or a study keeps its ledgers.", "stopped")
@pytest.mark.parametrize("name", ["progress.jsonl", "../trials.jsonl", "../policies.jsonl"])
def test_nothing_is_appended_to_a_pipe(name: str, desk: Desk) -> None:
    """A run would hang at its first line."""
    assert 0 == desk.run().code
    place = desk.newest / name
    place.unlink(missing_ok=True)
    os.mkfifo(place)
    found = desk.run()
    assert found.code in (2, 3)
    assert "Traceback" not in found.err


# What hides in an archive.

Change = Callable[[bytearray], None]


def _packed(members: dict[str, bytes], change: Change | None = None, **info: Any) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in sorted(members):
            each = tarfile.TarInfo(name)
            each.size = len(members[name])
            for key, value in info.items():
                setattr(each, key, value)
            tar.addfile(each, io.BytesIO(members[name]))
    data = bytearray(stream.getvalue())
    if change is not None:
        change(data)
    out = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=out, mtime=0) as packed:
        packed.write(data)
    return out.getvalue()


def _again(data: bytearray) -> None:
    """Mend the checksum of the first header."""
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])


def _at(place: int, text: bytes = b"hidden") -> Change:
    def change(data: bytearray) -> None:
        data[place : place + len(text)] = text
        if place < 512:
            _again(data)

    return change


def _end(data: bytearray) -> None:
    data[-400:-394] = b"hidden"


def _more(data: bytearray) -> None:
    data += bytes(10240 * 3 - 6) + b"hidden"


TARS: dict[str, Callable[[dict[str, bytes]], bytes]] = {
    "text in the padding of a member": lambda files: _packed(files, _at(512 + 500)),
    "text behind the end blocks": lambda files: _packed(files, _end),
    "text far behind the end blocks": lambda files: _packed(files, _more),
    "text behind the name": lambda files: _packed(files, _at(90)),
    "text in the part of a header that nobody reads": lambda files: _packed(files, _at(502)),
    "text behind the prefix": lambda files: _packed(files, _at(400)),
    "a mode of 04755": lambda files: _packed(files, mode=0o4755),
    "a target of a link on a plain file": lambda files: _packed(files, linkname="/etc/passwd"),
    "an owner's name": lambda files: _packed(files, uname="annsmith"),
    "a comment in an extended header": lambda files: _packed(files, pax_headers={"comment": "by Ann"}),
    "a gzip comment": lambda files: _gzip_with(files, 0x10, b"by Ann\0"),
    "a gzip extra field": lambda files: _gzip_with(files, 0x04, b"\x06\0by Ann"),
    "a gzip name": lambda files: _gzip_with(files, 0x08, b"ann.tar\0"),
    "two gzips in one": lambda files: _packed(files) + gzip.compress(b""),
    "bytes behind the gzip": lambda files: _packed(files) + b"hidden",
}


def _gzip_with(files: dict[str, bytes], flag: int, field: bytes) -> bytes:
    data = bytearray(_packed(files))
    data[3] |= flag
    return bytes(data[:10] + field + data[10:])


@route(HIDES, "sender of a bundle", "Text stands in the padding, behind the end, in a header or a comment.", "stopped")
@pytest.mark.parametrize("case", TARS)
def test_what_hides_in_a_tar_is_refused_by_verify_and_found_by_audit(case: str, tmp_path: Path) -> None:
    """A package that was audited would carry what its reader never sees."""
    files = {f"package/{name}": data for name, data in evaluation().items()}
    path = tmp_path / "p.tar.gz"
    path.write_bytes(TARS[case](files))
    with pytest.raises(HeldoutError, match=r"the archive is (refused|damaged)"):
        read_members(path)
    assert 3 == heldout("verify", path).code
    found = {each.code for each in audit_package(path).findings} & {"HO-P001", "HO-P032"}
    assert found, case


OURS: dict[str, dict[str, Any]] = {
    "a time": {"mtime": 1}, "a number of an owner": {"uid": 1000}, "a number of a group": {"gid": 5},
    "a mode of its own": {"mode": 0o640},
}  # fmt: skip


@route(HIDES, "sender of a bundle", "A header says a time, an owner or a mode that our writer never writes.", "stopped")
@pytest.mark.parametrize("case", OURS)
def test_an_archive_of_ours_has_the_headers_that_we_write(case: str, tmp_path: Path) -> None:
    """Numbers that no checksum covers would be free to say something."""
    path = tmp_path / "p.tar.gz"
    path.write_bytes(_packed({"a": b"1", "b": b"2"}))
    assert read_members(path)
    path.write_bytes(_packed({"a": b"1", "b": b"2"}, **OURS[case]))
    with pytest.raises(HeldoutError, match="is not the one that we write"):
        read_members(path)


@pytest.mark.parametrize("name", ["é" * 60, "a/" * 40 + "b", "x" * 200, "run.sh", "a"])
def test_what_we_write_is_what_we_read(name: str, tmp_path: Path) -> None:
    """A long or foreign name would make our own package unreadable."""
    files: dict[str, Path | bytes] = {name: b"x" * 700, "z": b""}
    write_archive(tmp_path / "p.tar.gz", files, top="top")
    read = read_members(tmp_path / "p.tar.gz")
    assert {f"top/{each}" for each in files} == set(read)


def _zip(change: Callable[[zipfile.ZipFile], None] | None = None, after: Change | None = None) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in evaluation().items():
            archive.writestr(name, data)
        if change is not None:
            change(archive)
    data = bytearray(stream.getvalue())
    if after is not None:
        after(data)
    return bytes(data)


def _setuid(archive: zipfile.ZipFile) -> None:
    archive.infolist()[0].external_attr = 0o104755 << 16


def _said(archive: zipfile.ZipFile) -> None:
    archive.infolist()[0].comment = b"by Ann"


def _extra(archive: zipfile.ZipFile) -> None:
    archive.infolist()[0].extra = b"\x99\x99\x06\0by Ann"


def _renamed(data: bytearray) -> None:
    data[30:34] = b"evil"


def _between(data: bytearray) -> None:
    second = data.find(b"PK\x03\x04", 4)
    data[second:second] = b"hidden"
    end = data.rfind(b"PK\x05\x06")
    start = int.from_bytes(data[end + 16 : end + 20], "little")
    data[end + 16 : end + 20] = (start + 6).to_bytes(4, "little")
    place = start + 6
    while data[place : place + 4] == b"PK\x01\x02":
        offset = int.from_bytes(data[place + 42 : place + 46], "little")
        data[place + 42 : place + 46] = (offset + 6 * (offset > 0)).to_bytes(4, "little")
        lengths = [int.from_bytes(data[place + n : place + n + 2], "little") for n in (28, 30, 32)]
        place += 46 + sum(lengths)


ZIPS = {
    "a mode of 04755": _zip(_setuid), "a comment on a file": _zip(_said), "an extra field": _zip(_extra),
    "another name in the file's own header": _zip(after=_renamed), "bytes between two files": _zip(after=_between),
}  # fmt: skip


@route(
    HIDES,
    "sender of a bundle",
    "A ZIP says two names, or holds bytes between files, comments or fields.",
    "stopped",
)
@pytest.mark.parametrize("case", ZIPS)
def test_what_hides_in_a_zip_is_found(case: str, tmp_path: Path) -> None:
    """The same package, packed by another tool, would pass."""
    clean, path = tmp_path / "clean.zip", tmp_path / "p.zip"
    clean.write_bytes(_zip())
    path.write_bytes(ZIPS[case])
    assert "HO-P001" not in {each.code for each in audit_package(clean).findings}
    assert "HO-P001" in {each.code for each in audit_package(path).findings}


# What is shown.

STEERS = "\x1b[2J\u202e\x9b1m\u2066\u200b\ufeff\x07\r\nPROMOTE"
RAW = [letter for letter in STEERS if not letter.isascii() or (ord(letter) < 32 and letter != "\n")]


def _named(desk: Desk, name: str) -> Desk:
    frame = rows_of_groups().with_columns(site=pl.col("site").replace("g1", name))
    frame.write_parquet(desk.folder / "table.parquet")
    desk.write(corpus={**desk.study["corpus"], "path": "table.parquet"})
    return desk


@pytest.mark.slow
@route(SHOWN, "sender of a bundle", "A group's name clears the screen, or turns a line around.", "stopped")
def test_no_name_steers_a_terminal_or_a_page(desk: Desk) -> None:
    """A terminal would show a verdict that is none."""
    name = f"g{STEERS}"
    _named(desk, name)
    answers = [desk.heldout("check", "study.yaml"), desk.run(), desk.heldout("verify", desk.newest)]
    answers.append(desk.heldout("verify", desk.newest, "--json"))
    answers.append(desk.heldout("gate", desk.newest, "--junit", "rules.xml", "--summary", "summary.md"))
    shown = [text for answer in answers for text in (answer.out, answer.err)]
    shown += [(desk.newest / each).read_text() for each in ("RUN_REPORT.md", "report.html")]
    shown += [(desk.folder / each).read_text() for each in ("rules.xml", "summary.md")]
    for text in shown:
        assert [] == [letter for letter in RAW if letter in text]
        lines = [] if text.startswith("<!") else text.splitlines()  # in HTML the end of a line is a blank
        assert not any(line.startswith("PROMOTE") and "attacked" not in line for line in lines)
    groups = [each["id"] for each in json.loads((desk.newest / "corpus.json").read_text())["groups"]]
    assert name in groups  # documents keep what is there


@route(SHOWN, "careless user", "A file's name in an error message holds the codes of a terminal.", "stopped")
def test_no_message_steers_a_terminal(tmp_path: Path) -> None:
    """The path of a file that was sent would write to the screen by itself."""
    for command in (("run",), ("verify",), ("package", "audit"), ("gate", "plan")):
        found = heldout(*command, f"x{STEERS}.yaml", cwd=tmp_path)
        assert [] == [letter for letter in RAW if letter in found.err + found.out]
    assert "\\x1b[2J\\u202e" in str(InputError(STEERS))
    assert 1 == len(str(InputError(STEERS)).splitlines())
    assert "é 😀 ä" == printable("é 😀 ä")


CELLS = ("=cmd|' /C calc'!A0", "+1+cmd", "-2+3+cmd", "@SUM(1)", "\t=1", "'=1", "''@x", "＝1")


@pytest.mark.slow
@route(SHOWN, "sender of a bundle", "A group's name is a formula that a spreadsheet would run.", "flagged")
def test_no_cell_of_a_table_runs_in_a_spreadsheet(desk: Desk) -> None:
    """Whoever opens predictions.csv would run a stranger's command."""
    names = dict(zip([f"g{n}" for n in range(5)], CELLS, strict=False))
    rows_of_groups().with_columns(site=pl.col("site").replace(names)).write_csv(desk.folder / "table.csv")
    assert 0 == desk.run().code
    cells = [cell for row in pl.read_csv(desk.newest / "predictions.csv", infer_schema=False).rows() for cell in row]
    numbers = [cell for cell in cells if cell[:1] in ("=", "+", "-", "@", "\t", "\r")]
    assert all(float(cell) < 0 for cell in numbers)
    assert 0 == heldout("verify", desk.newest).code


def test_cells_that_were_made_safe_can_be_told_apart_again() -> None:
    """Two groups of one name would stand in a table of two."""
    texts = [*CELLS, "=", "'", "''", "'a", "-1", "-1.5e3", "a", "", "é"]
    safe = safe_for_spreadsheets(pl.DataFrame({"a": texts, "b": [1.0] * len(texts)}))["a"].to_list()
    assert len(set(texts)) == len(set(safe))
    assert texts[-6:] == safe[-6:]


# What is written down.

URLS = (
    "postgresql://u:s3cret@h:notaport/db", "postgresql://u@h:1/db?password=s3cret", "mysql://u:s3cret@h/db",
    "postgresql://u@h:1/db?sslpassword=s3cret", "postgresql://u:s3cret@@h:1/db", "postgresql://u@h:1/db?pass%77ord=s3cret",
)  # fmt: skip


@route(SECRET, "careless user", "The address of a registry holds a password.", "stopped")
@pytest.mark.parametrize("url", URLS)
def test_no_password_of_an_address_is_shown(url: str, tmp_path: Path) -> None:
    """A password would stand in the log of every job."""
    found = heldout("registry", "show", "--registry", url, cwd=tmp_path)
    assert 2 == found.code
    assert "s3cret" not in found.out + found.err
    assert "Traceback" not in found.err


@route(SECRET, "careless user", "The address of a registry stands where a path or a name belongs.", "stopped")
@pytest.mark.parametrize("url", URLS[:2])
@pytest.mark.parametrize(
    "command", [("verify",), ("run",), ("study", "show"), ("backbone", "show"), ("package", "audit")], ids=" ".join
)
def test_no_password_is_shown_where_an_address_was_not_asked_for(
    command: tuple[str, ...], url: str, tmp_path: Path
) -> None:
    """Two arguments in the wrong order write a password into the log of a job."""
    found = heldout(*command, url, cwd=tmp_path)
    assert 2 == found.code
    assert "s3cret" not in found.out + found.err
    assert "***" in found.err


@pytest.mark.slow
@route(SECRET, "careless user", "A value of --set is a password or a token.", "flagged")
@pytest.mark.parametrize(
    ("key", "value"),
    [("api_key", "hunter2hunter2"), ("password", "a b"), ("note", "hf_abcdefghijklmnopqrstuvw")],
)
def test_a_secret_of_set_is_written_as_a_digest(key: str, value: str, desk: Desk) -> None:
    """A token would be published with the run that was made with it."""
    code = f"""
from sklearn.linear_model import LinearRegression
class Plain(LinearRegression):
    def __init__(self, {key}=""):
        super().__init__()
        self.{key} = ""
"""
    with module_of(desk.folder, "plain_model", code):
        desk.write(fit={"estimator": "plain_model.Plain"})
        desk.run("--set", f"fit.params.{key}={value}")
        files = [each for each in desk.runs.rglob("*") if each.is_file()]
        assert [] == [each.name for each in files if value.encode() in each.read_bytes()]
        assert "sha256:" in (desk.newest / "study.lock.yaml").read_text()
        assert 0 == desk.heldout("verify", desk.newest, "--trust-code").code


# Whose code is run.

MINE = """
import os
from pathlib import Path
from sklearn.linear_model import LinearRegression
if "HELDOUT_TRACE" in os.environ:
    Path(os.environ["HELDOUT_TRACE"]).write_text("imported")
class Mine(LinearRegression):
    pass
"""


@pytest.mark.slow
@route(
    CODE,
    "sender of a bundle",
    "The study names a class beside it, and importing it runs something.",
    "stopped",
)
def test_verify_imports_no_module_that_lies_near(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking at a run that was sent would run what its sender wrote."""
    trace = desk.folder / "trace"
    with module_of(desk.folder, "mine_near", MINE):
        desk.write(fit={"estimator": "mine_near.Mine"})
        assert 0 == desk.run().code
        sys.modules.pop("mine_near", None)
        monkeypatch.setenv("HELDOUT_TRACE", str(trace))
        plain = heldout("verify", desk.newest, cwd=desk.folder)
        assert 0 == plain.code
        assert "NOT CHECKED" in plain.out
        assert not trace.exists()
        asked = heldout("verify", desk.newest, "--corpus", desk.folder / "table.csv", cwd=desk.folder)
        assert 2 == asked.code
        assert "--trust-code" in asked.err
        assert not trace.exists()
        corpus = ("--corpus", desk.folder / "table.csv", "--trust-code")
        monkeypatch.delenv("HELDOUT_TRACE")  # fenced code that writes would be a finding
        assert 0 == heldout("verify", desk.newest, *corpus, cwd=desk.folder).code


@route(DEEP, "sender of a bundle", "A line of predictions of a run is nested thousands of levels deep.", "TAMPERED")
def test_a_deep_line_of_predictions_is_refused_on_every_road(road: Desk) -> None:
    """The parser of one domain would recurse where that of another does not."""
    road.run()
    path = road.newest / "predictions.jsonl"
    head, _, rest = path.read_bytes().partition(b"\n")
    path.write_bytes(head.replace(b"{", b'{"a":' + b"[" * 20_000 + b"]" * 20_000 + b",", 1) + b"\n" + rest)
    found = heldout("verify", road.newest)
    assert 3 == found.code
    assert "Traceback" not in found.err
