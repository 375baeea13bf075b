"""What people see on a terminal; plain where there is none, or where NO_COLOR is set."""

from __future__ import annotations

import codecs
import contextlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from heldout.printable import printable, printable_json


def print_json(value: Any) -> None:
    """One strict JSON document on standard output; in ASCII where that is not UTF-8, as no other bytes are JSON."""
    text = json.dumps(value, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    text = printable_json(text.encode("utf-8", "replace").decode())  # a file name may hold bytes that are no UTF-8
    if codecs.lookup(sys.stdout.encoding or "utf-8").name != "utf-8":
        text = json.dumps(json.loads(text), indent=2, sort_keys=True)
    sys.stdout.write(text + "\n")


@contextlib.contextmanager
def resumable(kept: str = "interrupted; finished units are kept") -> Iterator[None]:
    """On interruption, let the message say what is kept; which command goes on is said in any case."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(kept) from None


class RunPrinter:
    """Shows a run's progress: a bar on a terminal, a line a plan elsewhere."""

    def __init__(self, *, quiet: bool) -> None:
        """Show nothing but the verdict if quiet."""
        self._quiet = quiet
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Self:
        if not self._quiet and sys.stderr.isatty():
            from rich.progress import Progress

            from heldout.terminal import open_console

            self._bar = Progress(console=open_console(stderr=True), transient=True)
            self._bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def event(self, record: Mapping[str, Any]) -> None:
        """Take one progress event."""
        if self._quiet:
            return
        if record["event"] == "plan":
            print(printable(record["unit"]), file=sys.stderr)
            if self._bar is not None:
                self._task = self._bar.add_task("fit", total=record["total"], completed=record["done"])
        elif record["event"] == "failed":
            print(f"failed: {printable(record['unit'])}", file=sys.stderr)
        elif self._bar is not None and self._task is not None and record["event"] == "fitted":
            from rich.markup import escape

            self._bar.update(self._task, advance=1, description=escape(printable(record["unit"])))

    def verdict(self, document: Mapping[str, Any], folder: Path) -> None:
        """The verdict, every rule, and where the report is."""
        print_verdict(document)
        print(f"\nreport   {folder / 'report.html'}")
        print(f"run      {folder}")


def print_verdict(document: Mapping[str, Any], level: str = "") -> None:
    """The verdict, a line a rule, and under the rules what the guards found: a finding that is only reported too.

    Args:
        document: The verdict.
        level: How much was seen, where that must be said in the first line.
    """
    from rich.text import Text

    from heldout.terminal import open_console

    console = open_console()
    colour = "green" if document["verdict"] == "PROMOTE" else "yellow"
    head = Text(document["verdict"], style=f"bold {colour}")
    console.print(head.append(f" {document['study']} / {document['variant']}{' ' if level else ''}{level}", ""))
    for rule in document["rules"]:
        mark = {"PASS": "green", "FAIL": "red"}.get(rule["outcome"], "yellow")
        line = Text("  ").append(f"{rule['outcome']:<7}", mark)
        console.print(line.append(f" {printable(rule['id']):<14} {printable(rule['sentence'])}", ""))
    print_findings(document.get("findings", ()))
    if document["recommendation"]:
        console.print(Text(printable(document["recommendation"])))


def print_findings(findings: Iterable[Mapping[str, Any]]) -> None:
    """What each finding says, where, and what to do; nothing where there is none."""
    from rich.text import Text

    from heldout.terminal import open_console

    console = open_console()
    for each in findings:
        head = Text("  ").append(
            f"{'BLOCKS' if each['blocking'] else 'finding':<7}", "red" if each["blocking"] else "yellow"
        )
        console.print(head.append(f" {each['code']:<14} {printable(each['what'])}", ""))
        where, hint = printable(each["where"]), printable(each["hint"])
        console.print(Text(f"{'':<25}where: {where}; fix: {hint}", style="dim"))
