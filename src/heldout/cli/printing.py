"""What people see on a terminal; plain where there is none, or where NO_COLOR is set."""

from __future__ import annotations

import codecs
import contextlib
import datetime as dt
import json
import os
import re
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from heldout.printable import printable, printable_json

_ENDS, _SEED = frozenset({"fitted", "failed", "anew"}), re.compile(r"/seed(\d+)/")
Words = Mapping[str, Callable[[Mapping[str, Any]], str | None]]


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


class EventPrinter:
    """Shows events of work as they come: a bar on a terminal, and in lines what no bar tells."""

    def __init__(self, work: str, words: Words, counted: Collection[str], *, quiet: bool) -> None:
        """Take how the work is called, events in words, and those of them that end a unit."""
        self._work, self._words, self._counted, self._quiet = work, words, counted, quiet
        self._bar: Any = None
        self._task: Any = None
        self._first: tuple[float, int] | None = None

    def __enter__(self) -> Self:
        if not self._quiet and sys.stderr.isatty():
            from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

            from heldout.streams import Output
            from heldout.terminal import open_console

            # A descriptor of its own: while a unit is fitted, that of standard error leads to the unit's log.
            self._screen = os.fdopen(os.dup(2), "w", encoding=sys.stderr.encoding)
            columns = (*Progress.get_default_columns(), MofNCompleteColumn(), TimeElapsedColumn())
            self._bar = Progress(*columns, console=open_console(file=Output(self._screen, quiet=True)), transient=True)
            self._bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._screen.close()

    def event(self, record: Mapping[str, Any]) -> None:
        """Take one event."""
        name = record["event"]
        if self._quiet:
            return
        if name == "plan" and self._bar is not None:
            self._task = self._bar.add_task(self._work, total=record["total"], completed=record["done"])
        told = self._bar is not None and name in self._counted and name != "failed"
        line = self._words[name](record) if name in self._words and not told else None
        if line:
            print(printable(line) + self._left(record), file=sys.stderr)
        if self._bar is not None and self._task is not None and name in self._counted:
            from rich.markup import escape

            self._bar.update(self._task, advance=1, description=escape(printable(record["unit"])))

    def _left(self, record: Mapping[str, Any]) -> str:
        """Time left at the pace of the units so far, behind the line of one."""
        now, done, left = time.monotonic(), record["done"], record["total"] - record["done"]
        if record["event"] not in self._counted or not left:
            return ""
        start, before = self._first = self._first or (now, done)
        return f", {(now - start) / (done - before) * left:.0f} s left" if done > before else ""


class RunPrinter(EventPrinter):
    """Shows a run's progress, and its verdict."""

    def __init__(self, *, quiet: bool) -> None:
        """Show nothing but the verdict if quiet."""
        words: Words = {
            "plan": lambda e: e["unit"],
            "failed": lambda e: f"failed: {e['unit']}",
            "warned": lambda e: f"warned: {e['unit']}",
            "anew": lambda e: f"asked anew: {e['unit']}",
        }
        super().__init__("fit", words, ("fitted", "failed"), quiet=quiet)

    def verdict(self, document: Mapping[str, Any], folder: Path) -> None:
        """The verdict, every rule, and where the report is."""
        print_verdict(document, level_in_words(document))
        print(f"\nreport   {folder / 'report.html'}")
        print(f"run      {folder}")

    def tried(self, document: Mapping[str, Any], folder: Path) -> None:
        """What the rules of a study say of a part of its groups."""
        for rule in document["rules"]:
            if rule["id"] in ("not-smoke", "pre-registered"):
                continue  # it is one, and registers nothing
            print(f"  {rule['outcome']:<7} {rule['id']:<14} {printable(rule['sentence'])}")
        for finding in document["findings"]:
            print(f"  {finding['code']} {printable(finding['what'])}")
        print(f"\nreport   {folder / 'report.html'}")


class SeedLogs:
    """A log a seed, as published: ``seed{N}_<UTC>.log``, a line a unit; a start has logs of its own."""

    def __init__(self, folder: Path) -> None:
        """Name the folder; a log is there when its seed has something to say."""
        self._folder, self._start = folder, f"{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%SZ}"

    def event(self, record: Mapping[str, Any]) -> None:
        """Take one event of a run."""
        seed = _SEED.search(str(record["unit"]))
        if record["event"] not in _ENDS or seed is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        stamp = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        line = f"{stamp} {record['event']:<6} {record['done']}/{record['total']} {printable(str(record['unit']))}\n"
        with (self._folder / f"seed{seed[1]}_{self._start}.log").open("a", encoding="utf-8") as log:
            log.write(line)


def level_in_words(document: Mapping[str, Any]) -> str:
    """What the first line says of how much was seen: of a model from elsewhere, and of a word that is relied on."""
    from heldout.gate.asked import attested_of

    level = document.get("evidence")
    if level not in ("asked", "predicted"):
        return ""
    attested = attested_of(document["rules"])
    return f"({level})" if attested is None else f"({level}; {printable(attested)})"


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
