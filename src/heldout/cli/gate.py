"""``heldout gate``: judge, plan before compute is spent, and amend what was registered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from heldout.cli.printing import level_in_words, print_findings, print_json, print_verdict
from heldout.errors import InputError


class _JudgeByDefault(TyperGroup):
    """``heldout gate DIR`` is ``heldout gate judge DIR``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["judge", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    help="Show or make a verdict (gate DIR), plan a gate before a run, amend a registered policy.",
    no_args_is_help=True,
    cls=_JudgeByDefault,
)
_VARIANT = typer.Option("base", help="Id of a declared variant; `base` is the study itself.")
_RUNS = typer.Option(None, help="Folder of run directories; the study's own by default.")


@app.command()
def judge(
    folder: Path = typer.Argument(
        help="A run, an evaluation or a public package; with --reported a folder of loso_seed{N}.json."
    ),
    reported: bool = typer.Option(False, "--reported", help="Judge the reports as they are, cross-checked."),
    seeds: str = typer.Option("0,1,2,3,4", help="Seeds that must be there (with --reported)."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON document."),
    junit: Path | None = typer.Option(None, help="Write the rules as a JUnit file, a test case each."),
    summary: Path | None = typer.Option(None, help="Append the verdict as Markdown, as to $GITHUB_STEP_SUMMARY."),
) -> int:
    """Verify a run and show its verdict, or judge reported seed files. PROMOTE exits 0, HOLD 1, a broken link 3."""
    if reported:
        from heldout.domains.video.published.judge import judge_reported, write_reported

        document = judge_reported(folder, seeds=_seeds(seeds))
        write_reported(folder, document)
    else:
        document = _verified(folder)
    if junit is not None or summary is not None:
        from heldout.report.ci import append_summary, write_junit

        if junit is not None:
            write_junit(junit, document)
        if summary is not None:
            append_summary(summary, document)
    print_json(document) if as_json else print_verdict(document, level_in_words(document))
    return 0 if document["verdict"] == "PROMOTE" else 1


def _verified(folder: Path) -> dict[str, object]:
    """The verdict, recomputed link by link; of a published one, which names no files, the message says what judges it.

    Raises:
        InputError: If there is none that can be verified.
    """
    from heldout.package.verify.judged import read_judged

    try:
        return dict(read_judged(folder).document)
    except InputError:
        from heldout.domains.video.published.reported_files import holds_reports

        if not holds_reports(folder):
            raise
        raise InputError(
            "the numbers here are reported: they name no predictions from which a verdict could be verified",
            where=str(folder),
            hint="judge the loso_seed{N}.json files themselves: `heldout gate FOLDER --reported`",
        ) from None


@app.command()
def plan(
    study: Path = typer.Argument(help="The study file."),
    variant: str = _VARIANT,
    runs: Path | None = _RUNS,
    as_json: bool = typer.Option(False, "--json", help="Print one JSON document."),
) -> int:
    """Say of each rule whether it can pass, and how small an effect it sees. Exits 1 if some rule cannot."""
    from heldout.api import Study
    from heldout.run.planning import gate_plan

    document = gate_plan(Study.load(study).prepare(variant, runs=runs))
    if as_json:
        print_json(document)
    else:
        for rule in document["rules"]:
            print(f"{'can pass' if rule['can_pass'] else 'CANNOT':<9} {rule['id']:<16} {rule['sentence']}")
        print(f"registration: {document['registration']}")
        print_findings(document["findings"])
    return 0 if document["can_promote"] else 1


@app.command()
def amend(
    study: Path = typer.Argument(help="The study file, as it is now."),
    reason: str = typer.Option(..., help="Why rules or split changed; stays on record."),
    variant: str = _VARIANT,
    runs: Path | None = _RUNS,
    as_json: bool = typer.Option(False, "--json", help="Print one JSON document."),
) -> None:
    """Let changed rules decide though held-out rows were looked at before, for a reason that stays on record."""
    from heldout.api import Study

    prepared = Study.load(study).prepare(variant, runs=runs)
    policy = prepared.books.amend(prepared.declared, reason)
    if as_json:
        print_json({"schema": "heldout.amendment/1", "policy": policy.to_json()})
        return
    print(f"amended: policy {policy.sha256[:12]} may decide; amendments on these groups: {len(policy.amendments)}")


def _seeds(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"{text!r} is no list of seeds", where="--seeds", hint="write --seeds 0,1,2,3,4") from None
