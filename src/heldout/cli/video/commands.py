"""``heldout video``: make a corpus of encodes and their scores, export what was promoted, use what was exported."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heldout.cli.printing import resumable
from heldout.cli.video.recommend import recommend
from heldout.errors import ExitCode, InputError

if TYPE_CHECKING:
    from heldout.domains.video.encode.spec import EncodeSpec

app = typer.Typer(help="Encode, score and probe video; export a promoted ensemble and ask it.", no_args_is_help=True)
_KEPT = "interrupted; finished cells are kept"

FFmpegOption = Annotated[Path | None, typer.Option("--ffmpeg", help="Another FFmpeg than that of imageio-ffmpeg.")]
WorkersOption = Annotated[int, typer.Option("--workers", min=1, help="Cells at a time, each with one thread.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
_CPUS = os.cpu_count() or 1


@app.command()
def encode(
    study: Annotated[Path | None, typer.Argument(help="A study (block corpus.produce), or that block alone.")] = None,
    source: Annotated[list[Path] | None, typer.Option("--source", help="A video, .y4m or raw .yuv; repeat.")] = None,
    encoder: Annotated[list[str] | None, typer.Option("--encoder", help="Name or name:preset; repeat.")] = None,
    cq: Annotated[list[int] | None, typer.Option("--cq", help="A quality point; repeat.")] = None,
    width: Annotated[int | None, typer.Option(help="Of the one raw source.")] = None,
    height: Annotated[int | None, typer.Option(help="Of the one raw source.")] = None,
    fps: Annotated[str | None, typer.Option(help="Of the one raw source: 24, 29.97 or 30000/1001.")] = None,
    pix_fmt: Annotated[str | None, typer.Option(help="Of the one raw source: yuv420p10le, ...")] = None,
    model: Annotated[str | None, typer.Option(help="A built-in model of libvmaf.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the corpus; resumed if it is there.")] = None,
    ffmpeg: FFmpegOption = None,
    workers: WorkersOption = _CPUS,
    allow_skips: Annotated[bool, typer.Option(help="Merge what is there though cells are missing.")] = False,
    dry_run: Annotated[bool, typer.Option(help="Say what would be encoded and why; write nothing.")] = False,
    json_: JsonOption = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Encode sources x encoders x quality points and score every frame."""
    from heldout.cli.video.progress import encoding, print_plan, print_result
    from heldout.domains.video.encode.produce import preview, produce

    geometry = {"width": width, "height": height, "fps": fps, "pix_fmt": pix_fmt}
    spec, folder = _what_to_encode(study, source or [], encoder or [], cq or [], geometry, model, out)
    with resumable(_KEPT):
        if dry_run:
            plan = preview(spec, folder, ffmpeg=ffmpeg, workers=workers, allow_skips=allow_skips)
            print_plan(plan, as_json=json_)
            return
        with encoding(quiet=quiet) as bar:
            result = produce(spec, folder, ffmpeg=ffmpeg, workers=workers, allow_skips=allow_skips, on_event=bar.event)
    print_result(result, as_json=json_)
    if result.failed and not allow_skips:
        raise typer.Exit(ExitCode.UNITS_FAILED)


@app.command()
def probe(ffmpeg: FFmpegOption = None, workers: WorkersOption = _CPUS, json_: JsonOption = False) -> None:
    """Encode one frame with every known encoder and say which can run here."""
    from heldout.cli.video.progress import print_probes
    from heldout.domains.video.encode.ffmpeg import find_ffmpeg
    from heldout.domains.video.encode.probe import probe_all

    with resumable(_KEPT):
        program = find_ffmpeg(ffmpeg)
        print_probes(program, probe_all(program, workers), as_json=json_)


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="A run directory, or a study file: its own run of this corpus and code.")],
    variant: Annotated[str, typer.Option(help="Id of a variant (with a study file).")] = "base",
    runs: Annotated[Path | None, typer.Option(help="Folder of run directories (with a study file).")] = None,
    corpus: Annotated[Path | None, typer.Option(help="The judged corpus, if it moved.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder; RUN/exports by default.")] = None,
    json_: JsonOption = False,
) -> None:
    """Refit every seed on the whole corpus and export it as single-file ONNX. Exits 3 without a PROMOTE."""
    from heldout.cli.printing import print_json
    from heldout.domains.video.export.run import export_run

    if run.is_file():
        from heldout.api import Study

        prepared = Study.load(run).prepare(variant, runs=runs)
        if not prepared.folder.path.exists():
            raise InputError("no run of this study, corpus and code", where=str(run), hint=f"heldout run {run}")
        run, corpus = prepared.folder.path, corpus or prepared.resolved.corpus_path
    members = export_run(run, corpus, out)
    if json_:
        files = [{"seed": m.seed, "onnx": str(m.onnx), "sidecar": str(m.sidecar), "sha256": m.sha256} for m in members]
        print_json({"schema": "heldout.exports/1", "members": files})
        return
    for member in members:
        print(f"{member.onnx}  sha256 {member.sha256[:12]}  within {member.parity.relative:.1e} of the model")


app.command()(recommend)


def _what_to_encode(
    study: Path | None,
    sources: list[Path],
    encoders: list[str],
    cqs: list[int],
    geometry: Mapping[str, Any],
    model: str | None,
    out: Path | None,
) -> tuple[EncodeSpec, Path]:
    from heldout.domains.video.encode.spec import load_spec, spec_from_options

    if study is None:
        if out is None:
            raise InputError("no folder for the corpus", where="--out", hint="add --out DIR")
        return spec_from_options(sources, encoders, cqs, geometry, model), out
    if sources or encoders or cqs or model or any(value is not None for value in geometry.values()):
        raise InputError(
            "a study and options that say what to encode were both given",
            where=str(study),
            hint="write sources, encoders and cqs in the file, or leave the file out",
        )
    spec, beside = load_spec(study)
    if out is None and beside is None:
        raise InputError("no folder for the corpus", where="--out", hint="add --out DIR, or `corpus.path` to the study")
    return spec, out or beside or Path()
