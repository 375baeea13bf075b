"""``heldout kit``: hand a study over, run it elsewhere, and take the result back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from heldout.cli.kit_corpus import app as corpus_app
from heldout.cli.printing import print_json, print_verdict
from heldout.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from heldout.package.kit.importing import Imported

app = typer.Typer(help="Portable training kits: build, run elsewhere, import the result.", no_args_is_help=True)
app.add_typer(corpus_app, name="corpus")
_HOLD = 1

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Variant = Annotated[str, typer.Option(help="Id of a variant.")]
Runs = Annotated[Path | None, typer.Option(help="Folder of run directories; the study's own by default.")]


@app.command()
def build(
    study: Annotated[Path, typer.Argument(help="The study file.")],
    out: Annotated[Path, typer.Option("--out", help="The kit, .tar.gz or .tar.zst.")],
    variant: Variant = "base",
    agree: Annotated[list[str] | None, typer.Option(help="Tolerance a fold, such as plcc=0.005; repeat.")] = None,
    target: Annotated[list[str] | None, typer.Option(help="Such as linux-x86_64-cp312; repeat.")] = None,
    wheelhouse: Annotated[Path | None, typer.Option(help="Folder of wheels to put in; filled if empty.")] = None,
    hashes: Annotated[bool, typer.Option(help="Ask pip for the digests of the wheels.")] = True,
    as_json: Json = False,
) -> None:
    """Pack a study, its locked configuration, heldout itself and frozen requirements into one file."""
    from heldout.domains.video.kit.doctor import unneeded
    from heldout.package.kit.build import KitOptions, build_kit
    from heldout.package.kit.requirements import default_targets, parse_target

    options = KitOptions(
        variant=variant,
        tolerance=_tolerance(agree or []) or None,
        targets=[parse_target(text) for text in target or []] or default_targets(),
        ask_pip=hashes,
        wheelhouse=wheelhouse,
        leave_out=unneeded(study, variant),
    )
    kit = build_kit(study, out, options)
    if as_json:
        print_json({**kit.document, "path": str(kit.path), "sha256": kit.sha256, "bytes": kit.bytes})
        return
    for name, facts in kit.document["requirements"].items():
        typer.echo(f"{name:<22}  " + ("digests of all wheels" if facts["hashes"] else f"versions only: {facts['why']}"))
    typer.echo(f"{kit.path}  {kit.bytes} bytes  sha256 {kit.sha256}")


@app.command("study")
def study_(
    study: Annotated[Path, typer.Argument(help="The study of the kit.")],
    out: Annotated[Path, typer.Option("--out", help="The study as it runs here.")],
    ref_dir: Annotated[Path | None, typer.Option("--ref-dir", help="Folder of raw sources, at any depth.")] = None,
    encoders: Annotated[str, typer.Option(help="Comma list, or `auto`.")] = "",
    cqs: Annotated[str, typer.Option(help="Comma list of quality points.")] = "",
    seeds: Annotated[str, typer.Option(help="Comma list of seeds.")] = "",
    corpus: Annotated[Path | None, typer.Option(help="Where the corpus file lies or will lie.")] = None,
    width: Annotated[int | None, typer.Option(help="Of raw sources that do not say their own.")] = None,
    height: Annotated[int | None, typer.Option(help="Of raw sources that do not say their own.")] = None,
    fps: Annotated[str | None, typer.Option(help="Of raw sources that do not say their own.")] = None,
    pix_fmt: Annotated[str | None, typer.Option(help="Of raw sources that do not say their own.")] = None,
    ffmpeg: Annotated[Path | None, typer.Option(help="Another FFmpeg, for `auto`.")] = None,
) -> None:
    """Step 02: adapt the study to the raw sources of this machine."""
    from heldout.domains.video.kit.study import Adaptation, adapt_study

    geometry = {"width": width, "height": height, "fps": fps, "pix_fmt": pix_fmt}
    adaptation = Adaptation(
        ref_dir, words(encoders), numbers(cqs, "--cqs"), numbers(seeds, "--seeds"), corpus, geometry, ffmpeg
    )
    typer.echo(str(adapt_study(study, out, adaptation)))


@app.command()
def verdict(
    study: Annotated[Path, typer.Argument(help="The study file, or a run directory.")],
    variant: Variant = "base",
    runs: Runs = None,
    judged: Annotated[bool, typer.Option("--judged", help="Only say whether it was judged: exit 0 or 2.")] = False,
    exportable: Annotated[
        bool, typer.Option("--exportable", help="Exit 0 if members can be exported, else 1.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Step 04: verify the evidence of a study's run, and tell its verdict: exit 0 PROMOTE, 1 HOLD, 2 none, 3 broken."""
    from heldout.domains.video.export.run import can_export
    from heldout.package.kit.results import find_result

    found = find_result(study, variant, runs)
    if judged or exportable:
        return 0 if judged or can_export(found.evidence) else _HOLD
    verification = found.verify()
    verification.raise_if_broken()
    if as_json:
        print_json({**found.evidence.verdict, "run": str(found.run), "verification": verification.to_json()})
    else:
        print_verdict(found.evidence.verdict)
        typer.echo(f"VERIFIED  {found.run}")
    return 0 if found.verdict == "PROMOTE" else _HOLD


@app.command()
def bundle(
    run: Annotated[Path, typer.Argument(help="A run directory, or the study file.")],
    out: Annotated[Path, typer.Option("--out", help="The bundle, or a folder for it.")],
    variant: Variant = "base",
    runs: Runs = None,
    kit: Annotated[Path | None, typer.Option(help="The unpacked kit that it was made with.")] = None,
    corpus: Annotated[Path | None, typer.Option(help="The corpus file, if it moved.")] = None,
    without_corpus: Annotated[bool, typer.Option("--without-corpus", help="Leave the per-frame scores out.")] = False,
    as_json: Json = False,
) -> None:
    """Step 05: verify a run and pack it with all that its verdict rests on."""
    from heldout.package.kit.bundle import build_bundle
    from heldout.package.kit.results import find_result

    found = find_result(run, variant, runs)
    packed = build_bundle(found.run, out, kit=kit, corpus=None if without_corpus else corpus or found.corpus)
    if as_json:
        print_json({**packed.document, "path": str(packed.path), "sha256": packed.sha256})
        return
    typer.echo(f"{packed.document['verdict']}  {packed.path}\nsha256    {packed.sha256}")


@app.command("import")
def import_(
    archive: Annotated[Path, typer.Argument(help="The bundle that came back.")],
    against: Annotated[Path | None, typer.Option(help="Our own run of the same study.")] = None,
    kit: Annotated[Path | None, typer.Option(help="The kit that was handed over.")] = None,
    into: Annotated[Path, typer.Option(help="Folder of imports.")] = Path("imports"),
    deep: Annotated[bool, typer.Option("--deep", help="Ask every stored model again, by the bundle's corpus.")] = False,
    trust_code: Annotated[
        bool, typer.Option("--trust-code", help="With --deep: run code that the run brings.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Check, verify and compare a bundle: exit 0 PROMOTE, 1 HOLD or no agreement, 3 refused or tampered."""
    from heldout.package.kit.importing import import_bundle

    found = import_bundle(archive, into, against=against, kit=kit, deep=deep, trust_code=trust_code)
    print_json(found.to_json()) if as_json else _print_import(found)
    return 0 if found.promoted else _HOLD


def words(text: str) -> list[str]:
    """A comma list."""
    return [word.strip() for word in text.split(",") if word.strip()]


def numbers(text: str, option: str) -> list[int]:
    """A comma list of whole numbers.

    Raises:
        InputError: If one is none.
    """
    try:
        return [int(word) for word in words(text)]
    except ValueError:
        raise InputError(f"{text!r} is no list of whole numbers", where=option, hint=f"write {option} 0,1,2") from None


def _tolerance(pairs: list[str]) -> dict[str, float]:
    found = {}
    for pair in pairs:
        metric, _, value = pair.partition("=")
        try:
            found[metric] = float(value)
        except ValueError:
            raise InputError(f"{pair!r} is no tolerance", where="--agree", hint="write plcc=0.005") from None
    return found


def _print_import(found: Imported) -> None:
    facts: Mapping[str, object] = found.document
    typer.echo(f"VERIFIED  {facts['verdict']}  {facts['study']} / {facts['variant']}  sha256 {facts['verdict_sha256']}")
    typer.echo(f"made on   {facts['platform']}, device {facts['device']}")
    if found.agreement:
        for fold in found.agreement["folds"]:
            difference = "?" if fold["difference"] is None else f"{fold['difference']:+.3g}"
            typer.echo(
                f"  {fold['metric']:<6} {fold['fold']:<32} {fold['lead']!s:<22} {fold['operator']!s:<22} {difference}"
            )
        for rule in found.agreement["rules"]:
            typer.echo(f"  {rule['outcome']:<7} {rule['id']:<22} {rule['sentence']}")
    for note in found.notes:
        typer.echo(f"note      {note}")
    typer.echo(f"run       {found.run}")
