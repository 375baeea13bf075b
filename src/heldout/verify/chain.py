"""The chain of evidence: links in order, each OK, BROKEN or NOT CHECKED, with the reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import polars as pl
from safetensors import SafetensorError

from heldout.errors import HeldoutError, MachineError, PrerequisiteError, TamperedError
from heldout.evidence.machine import machine_error
from heldout.plugins import installed_only

SCHEMA = "heldout.verification/1"
State = Literal["OK", "BROKEN", "NOT CHECKED"]
_OF_EXPORTS = " An export that was rewritten whole is found only by exporting again, or by its manifest's sha256."
# What a damaged document raises when it is read as if it were whole.
_DAMAGED = (KeyError, TypeError, ValueError, AttributeError, IndexError, AssertionError, RecursionError, OSError)


class BrokenError(Exception):
    """A link does not hold: the sentence, and where."""

    def __init__(self, what: str, where: str | None = None) -> None:
        super().__init__(what)
        self.what, self.where = what, where


class MetricState(NamedTuple):
    """What was done with one metric.

    Attributes:
        name: As in the document of metrics.
        state: ``recomputed`` from predictions and truth; ``summed`` again from numbers that stand in each row and are
            taken on their word; ``attested``, the number itself is taken on its word.
        why: Why it is not recomputed; None if it is.
    """

    name: str
    state: Literal["recomputed", "summed", "attested"]
    why: str | None = None


class Found(NamedTuple):
    """What a look answers where it can tell metrics apart.

    Attributes:
        what: The sentence.
        metrics: Every metric that the link is about.
    """

    what: str
    metrics: tuple[MetricState, ...]


class NotCheckedError(Exception):
    """A link cannot be looked at here: the reason, and the metrics that stay attested by it."""

    def __init__(self, what: str, metrics: tuple[MetricState, ...] = ()) -> None:
        super().__init__(what)
        self.metrics = metrics


class Evidence(Protocol):
    """What links are looked at in: a run, or an export of one."""

    def inside(self, where: str | None) -> str | None:
        """A place as it may be shown."""


class Check(NamedTuple):
    """One link to look at.

    Attributes:
        id: Stable name of the link.
        title: What it holds together, for people.
        look: Answers a sentence, or what was ``Found``, where the link holds; raises where it does not.
        needs: Links without which this one cannot be looked at.
    """

    id: str
    title: str
    look: Callable[[Any], str | Found]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Link:
    """What was found of one link."""

    id: str
    title: str
    state: State
    what: str
    where: str | None = None
    metrics: tuple[MetricState, ...] = ()

    def to_json(self) -> dict[str, object]:
        """The link as a document; metrics stand in that of the whole chain."""
        return {key: value for key, value in asdict(self).items() if key != "metrics"}


@dataclass(frozen=True)
class Verification:
    """The whole chain of one run, of an export with its run, or of an export alone.

    Attributes:
        folder: The run directory, or that of an export whose run is not known.
        verdict: What the verdict file says; believe it only if ``holds``. None if the run is not known.
        verdict_sha256: Digest of the verdict file: compare it with the one that you were told.
        links: Every link, in order.
        exports: Digest of every export's manifest that was looked at, by its name.
    """

    folder: Path
    verdict: str | None
    verdict_sha256: str | None
    links: tuple[Link, ...]
    exports: Mapping[str, str] = field(default_factory=dict)

    @property
    def broken(self) -> Link | None:
        """The first broken link; None if every link that was looked at holds."""
        return next((link for link in self.links if link.state == "BROKEN"), None)

    @property
    def holds(self) -> bool:
        """Whether no link is broken."""
        return self.broken is None

    @property
    def metrics(self) -> tuple[MetricState, ...]:
        """Every metric that a link told apart: recomputed, summed again, or only attested."""
        return tuple(state for link in self.links for state in link.metrics)

    @property
    def left_open(self) -> str:
        """What these links cannot show: who could still have changed what."""
        if self.verdict is None and self.metrics:
            return (
                "The files agree with each other. Whoever rewrote all of them together is found only by the manifest's "
                "sha256 if you were told it." + self._not_recomputed
            )
        if self.verdict is None:
            return (
                "The files agree with each other and with the answers that are kept beside them. Whoever rewrote all "
                "of them together is found only by the run that they came from (--run), or by the manifest's sha256."
            )
        return self._left_open_of_the_run + (_OF_EXPORTS if self.exports else "")

    @property
    def _not_recomputed(self) -> str:
        """A sentence for each reason why metrics were not recomputed; empty if all of them were."""
        reasons: dict[tuple[str, str], list[str]] = {}
        for name, state, why in self.metrics:
            if state != "recomputed":
                reasons.setdefault((state, why or "nobody said why"), []).append(name)
        words = {"summed": "Summed again from numbers that stand in the rows", "attested": "Only attested"}
        return "".join(f" {words[state]}: {', '.join(names)} ({why})." for (state, why), names in reasons.items())

    @property
    def _left_open_of_the_run(self) -> str:
        found = {link.id: link.state for link in self.links}
        ways = {"corpus-file": "the corpus file (--corpus)", "refit": "a refit (--refit)"}
        lacking = [way for name, way in ways.items() if found.get(name) != "OK"]
        if found.get("signature") == "OK":
            return "The signer vouches for every file." + (f" Not asked: {', '.join(lacking)}." if lacking else "")
        return (
            "The files agree with each other. Whoever rewrote all of them together, verdict included, is found only "
            f"by {', '.join([*lacking, 'a signature (--key)'])}, or by the verdict's sha256 if you were told it."
        )

    def raise_if_broken(self) -> None:
        """Raise at the first broken link.

        Raises:
            TamperedError: With the link and what is wrong with it.
        """
        link = self.broken
        if link is not None:
            raise TamperedError(
                f"the link {link.id!r} is broken: {link.what}",
                where=link.where or str(self.folder),
                hint="do not rely on it; run the study again, or ask for the files as they were written",
            )

    def to_json(self) -> dict[str, object]:
        """The verification as a document."""
        told = {"metrics": [state._asdict() for state in self.metrics]} if self.metrics else {}
        return told | {
            "schema": SCHEMA,
            "run": self.folder.name if self.verdict else None,
            "exports": dict(self.exports),
            "result": "VERIFIED" if self.holds else "TAMPERED",
            "verdict": self.verdict,
            "verdict_sha256": self.verdict_sha256,
            "broken": self.broken.id if self.broken else None,
            "left_open": self.left_open,
            "links": [link.to_json() for link in self.links],
        }


def walk(checks: Sequence[Check], evidence: Evidence) -> tuple[Link, ...]:
    """Look at every link; one that needs a broken link is not looked at."""
    links: list[Link] = []
    for check in checks:
        lacking = [link for link in links if link.id in check.needs and link.state != "OK"]
        if lacking:
            first = lacking[0]
            reason = first.what if first.state == "NOT CHECKED" else f"it needs the link {first.title!r}"
            links.append(Link(check.id, check.title, "NOT CHECKED", reason))
        else:
            links.append(_look(check, evidence))
    return tuple(links)


def _look(check: Check, evidence: Evidence) -> Link:
    try:
        with installed_only():
            found = check.look(evidence)
        if isinstance(found, Found):
            return Link(check.id, check.title, "OK", found.what, metrics=found.metrics)
        return Link(check.id, check.title, "OK", found)
    except NotCheckedError as reason:
        return Link(check.id, check.title, "NOT CHECKED", str(reason), metrics=reason.metrics)
    except PrerequisiteError as error:
        return Link(check.id, check.title, "NOT CHECKED", error.what)
    except MachineError:  # a full disk or a lack of memory says nothing about the evidence
        raise
    except BrokenError as error:
        return Link(check.id, check.title, "BROKEN", error.what, error.where)
    except HeldoutError as error:
        return Link(check.id, check.title, "BROKEN", error.what, evidence.inside(error.where))
    except (*_DAMAGED, pl.exceptions.PolarsError, SafetensorError) as error:
        refused = machine_error(error)
        if refused is not None:
            raise refused from error
        detail = str(error).splitlines()[0] if str(error) else ""
        return Link(check.id, check.title, "BROKEN", f"a document is damaged: {type(error).__name__}: {detail[:200]}")
