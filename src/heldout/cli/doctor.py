"""``heldout doctor``: can the whole study run here?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from heldout.cli.printing import print_json

if TYPE_CHECKING:
    from heldout.package.doctor.doctor import Checkup

_MISSING = 2
_COLOURS = {"OK": "green", "FAILED": "bold red", "NOTE": "yellow"}


def doctor(
    study: Path | None = typer.Argument(None, help="The study; without it: what can run here at all."),
    out_dir: Path = typer.Option(Path(), "--out-dir", help="Where everything will be written."),
    ref_dir: Path | None = typer.Option(None, "--ref-dir", help="Folder of the raw sources."),
    encoders: str = typer.Option("", help="Comma list, or `auto`; the study's by default."),
    cqs: str = typer.Option("", help="Comma list of quality points; the study's by default."),
    ffmpeg: Path | None = typer.Option(None, help="Another FFmpeg than that of imageio-ffmpeg."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON document."),
) -> int:
    """Look at the machine, FFmpeg, every encoder, every import, disk and memory. Exits 2 if something is missing."""
    from heldout.cli.kit import numbers, words
    from heldout.domains.video.kit.doctor import check_up
    from heldout.domains.video.kit.study import Adaptation

    wanted = Adaptation(ref_dir=ref_dir, encoders=words(encoders), cqs=numbers(cqs, "--cqs"), ffmpeg=ffmpeg)
    found = check_up(study, out_dir, wanted)
    print_json(found.to_json()) if as_json else print_checkup(found)
    return 0 if found.healthy else _MISSING


def print_checkup(found: Checkup) -> None:
    """A line a finding; under a bad one, its mend."""
    from rich.text import Text

    from heldout.terminal import open_console

    console = open_console()
    width = max(len(finding.id) for finding in found.findings)
    for finding in found.findings:
        line = Text(f"  {finding.state:<7}", style=_COLOURS[finding.state])
        console.print(line.append(f"{finding.id:<{width}}  {finding.what}", style="default"))
        if finding.mend:
            console.print(Text(f"{'':<11}fix: {finding.mend}", style="dim"))
    failed = sum(finding.state == "FAILED" for finding in found.findings)
    console.print(
        Text("this study can run here", style="green")
        if found.healthy
        else Text(f"{failed} things are missing", style="bold red")
    )
