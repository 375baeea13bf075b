"""``heldout kit corpus``: raw sources and encoded shards from machine to machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from heldout.cli.printing import print_json, resumable
from heldout.errors import ExitCode

app = typer.Typer(help="Raw sources and shards from machine to machine.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Workers = Annotated[int, typer.Option("--workers", min=1, help="Files at a time.")]
FFmpegOption = Annotated[Path | None, typer.Option("--ffmpeg", help="Another FFmpeg.")]


@app.command()
def pack(
    corpus: Annotated[list[Path], typer.Argument(help="Folders of raw .yuv files; each is a corpus.")],
    out: Annotated[Path, typer.Option("--out", help="The transport, .tar.zst.")],
    codec: Annotated[str, typer.Option(help="ffv1, hevc or av1: all without loss.")] = "ffv1",
    width: Annotated[int | None, typer.Option(help="Of files that do not say their own.")] = None,
    height: Annotated[int | None, typer.Option(help="Of files that do not say their own.")] = None,
    fps: Annotated[str | None, typer.Option(help="Of files that do not say their own.")] = None,
    pix_fmt: Annotated[str | None, typer.Option(help="Of files that do not say their own.")] = None,
    workers: Workers = 1,
    ffmpeg: FFmpegOption = None,
    as_json: Json = False,
) -> None:
    """Pack raw files without loss, decode each again and compare, and write one file with its digest."""
    from heldout.domains.video.kit.pack import PackOptions, pack_corpus

    geometry = {"width": width, "height": height, "fps": fps, "pix_fmt": pix_fmt}
    with resumable():
        packed = pack_corpus(corpus, out, PackOptions(codec, workers, geometry, ffmpeg), _tell)
    if as_json:
        print_json({**packed.document, "path": str(packed.path), "sha256": packed.sha256})
        return
    sources = packed.document["sources"].values()
    raw, size = sum(entry["bytes"] for entry in sources), packed.path.stat().st_size
    typer.echo(
        f"{len(sources)} files, {raw} bytes -> {size} bytes ({size / raw:.0%})\n{packed.path}  sha256 {packed.sha256}"
    )


@app.command()
def extract(
    archive: Annotated[Path, typer.Argument(help="The transport.")],
    dest: Annotated[Path, typer.Option("--dest", help="Where the corpora will lie.")] = Path("corpus"),
    keep: Annotated[bool, typer.Option("--keep", help="Keep the packed files.")] = False,
    workers: Workers = 1,
    ffmpeg: FFmpegOption = None,
    as_json: Json = False,
) -> int:
    """Unpack, decode and compare every file with its original's digest. Exit 3 if one is not the original."""
    from heldout.domains.video.kit.extract import extract_corpus

    with resumable():
        found = extract_corpus(archive, dest, workers=workers, keep=keep, ffmpeg=ffmpeg, on_file=_tell)
    if as_json:
        print_json(
            {"schema": "heldout.extract/1", "folder": str(found.folder), "files": list(found.files),
             "reused": found.reused, "failed": dict(found.failed)}
        )  # fmt: skip
    else:
        typer.echo(f"{len(found.files)} files in {found.folder} ({found.reused} were there)")
        for name, why in found.failed.items():
            typer.echo(f"failed: {name}: {why}", err=True)
    return ExitCode.REFUSED if found.failed else ExitCode.DONE


@app.command()
def merge(
    shards: Annotated[
        list[Path], typer.Argument(help="Folders that `heldout video encode` wrote on several machines.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder of the merged corpus.")],
    study: Annotated[
        Path | None, typer.Option(help="What was to be encoded; else every combination that was seen.")
    ] = None,
    allow_gaps: Annotated[
        bool, typer.Option("--allow-gaps", help="Write the corpus though cells are missing.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Merge by cell: alike duplicates are one, others are refused; gaps are listed, and exit with 5."""
    from heldout.domains.video.encode.spec import load_spec
    from heldout.domains.video.kit.merge import merge_shards

    spec = load_spec(study).spec if study is not None else None
    merged = merge_shards(shards, out, spec=spec, allow_gaps=allow_gaps)
    if as_json:
        print_json(merged.document)
    else:
        where = f"{merged.rows} rows -> {merged.corpus}" if merged.rows else "no corpus was written"
        typer.echo(f"{merged.cells} cells, {merged.duplicates} of them from several machines; {where}")
        for gap in merged.gaps:
            typer.echo(f"gap: {gap}", err=True)
    return ExitCode.UNITS_FAILED if merged.gaps and not allow_gaps else ExitCode.DONE


def _tell(name: str, done: int, total: int) -> None:
    typer.echo(f"{done}/{total}  {name}", err=True)
