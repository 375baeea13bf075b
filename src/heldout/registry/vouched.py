"""How much of a version was verified, by whom and with what: recorded with it, and asked again at a promotion.

Whoever reads only the files of a run sees that they agree with each other. Whether the predictions are those of the
stored models, and the targets those of the corpus, shows only with the corpus at hand; whether the models are what
training gives, only a refit. So a version records which links held, and what was not looked at and why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from heldout import __version__
from heldout.errors import HeldoutError, TamperedError
from heldout.evidence.provenance import code_digest
from heldout.gate.verdict import level_of
from heldout.plugins import trusting_code
from heldout.registry.corpora import FoundCorpus, find_corpus
from heldout.verify import verify_run
from heldout.verify.evidence import RunEvidence

_CORPUS_LINKS = ("corpus-file", "guards", "weights")
_KEPT = frozenset(("level", "why", "corpus", "refit", "heldout", "code_sha256", "key_sha256"))


@dataclass(frozen=True)
class Asked:
    """What a verification is asked for besides the run's own files.

    Attributes:
        corpus: The corpus file; by default it is looked for.
        look_for_corpus: Whether to look for it where none is given.
        refit: Train every fit again; needs the corpus.
        key: Public key of the signer, a PEM file.
        workers: Processes of the refit.
        trust_code: Whether code that the run brings along may be run: whoever says so has read it.
    """

    corpus: Path | None = None
    look_for_corpus: bool = True
    refit: bool = False
    key: Path | None = None
    workers: int | None = None
    trust_code: bool = False


@dataclass(frozen=True)
class Vouched:
    """What was found of the links of a run.

    Attributes:
        level: Of the evidence: fitted, asked, predicted or reported; None in a record of an older heldout.
        links: OK or NOT CHECKED, by link.
        why: Of every link that was not checked: why not.
        corpus: Whether the corpus was given, found or carried; None without.
        refit: Whether every fit was trained again.
        heldout: Version of heldout that looked; None in a record of an older one.
        code_sha256: Digest of its sources.
        key_sha256: Digest of the public key whose signature was verified.
    """

    level: str | None
    links: Mapping[str, str]
    why: Mapping[str, str] = field(default_factory=dict)
    corpus: str | None = None
    refit: bool = False
    heldout: str | None = None
    code_sha256: str | None = None
    key_sha256: str | None = None

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Vouched:
        """What an event recorded; an event of an older heldout names states of links and nothing else."""
        stated = body.get("evidence", {})
        return cls(links=dict(body["verified"]), **{"level": None} | {key: stated[key] for key in _KEPT & set(stated)})

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Vouched:
        """What ``heldout registry show`` lists of one event."""
        return cls.of({"verified": record["links"], "evidence": record})

    @classmethod
    def merged(cls, records: Sequence[Vouched]) -> Vouched:
        """All that was found of one version: a link that held once holds, for its files are the same bytes."""
        links: dict[str, str] = {}
        for each in records:
            links |= {link: state for link, state in each.links.items() if links.get(link) != "OK"}
        why = {link: reason for each in records for link, reason in each.why.items() if links.get(link) != "OK"}
        corpus = next((each.corpus for each in reversed(records) if each.corpus), None)
        refit = any(each.refit for each in records)
        return replace(records[-1], links=links, why=why, corpus=corpus, refit=refit)

    @property
    def holding(self) -> frozenset[str]:
        """Links that hold."""
        return frozenset(link for link, state in self.links.items() if state == "OK")

    def facts(self) -> dict[str, object]:
        """The record as two facts of an event; ``verified`` has the form that older versions of heldout write."""
        return {"verified": dict(self.links), "evidence": {key: getattr(self, key) for key in sorted(_KEPT)}}

    def sentence(self) -> str:
        """For people: what was looked at, and what was not and why."""
        with_it = f"with the corpus ({self.corpus})" if self.corpus else "without the corpus"
        held = f"{len(self.holding)} links hold, {with_it}{' and a refit' if self.refit else ''}"
        left = "; ".join(f"{link}: {why}" for link, why in sorted(self.why.items()))
        return f"evidence {self.level}; {held}; not checked: {left or 'nothing'}"


def look(folder: Path, asked: Asked) -> Vouched:
    """Recompute the chain of a run, with the corpus where it is given or still lies where the run's record says.

    Raises:
        InputError: If it is no run directory, or the run did not finish.
        TamperedError: Naming the first link of its evidence that does not hold.
        PrerequisiteError: If what was asked for cannot be checked here.
    """
    evidence = RunEvidence.open(folder)
    found = FoundCorpus(asked.corpus, "given") if asked.corpus is not None else None
    if found is None and (asked.look_for_corpus or asked.refit):
        found = _found(evidence)
    # A corpus that was only found is looked at as far as it can be; what was asked for must be possible.
    insist = found is None or found.how == "given" or asked.refit or asked.key is not None
    with trusting_code(calls=False):  # whoever registers a run vouches for the classes that he put within reach here
        verification = verify_run(
            folder,
            corpus=found.path if found else None,
            key=asked.key,
            refit_too=asked.refit,
            workers=asked.workers,
            insist=insist,
        )
    broken = verification.broken
    if broken is not None:
        with_it = f", with the corpus {found.path}" if found and broken.id in (*_CORPUS_LINKS, "refit") else ""
        raise TamperedError(
            f"the link {broken.id!r} is broken: {broken.what}",
            where=f"{broken.where or folder}{with_it}",
            hint="do not rely on it; run the study again, or ask for the files as they were written",
        )
    links = {link.id: link.state for link in verification.links}
    why = {link.id: link.what for link in verification.links if link.state == "NOT CHECKED"}
    return Vouched(
        level=level_of(evidence.verdict),
        links=links,
        why=why,
        corpus=found.how if found else None,
        refit=links.get("refit") == "OK",
        heldout=__version__,
        code_sha256=code_digest(),
        key_sha256=key_digest(asked.key) if asked.key is not None else None,
    )


def key_digest(path: Path) -> str:
    """Digest of a public key, whatever its PEM file looks like.

    Raises:
        InputError: If it is none.
    """
    from heldout.evidence import sha256_bytes
    from heldout.verify.signature import read_public_key

    return sha256_bytes(read_public_key(path).key.public_bytes_raw())


def _found(evidence: RunEvidence) -> FoundCorpus | None:
    try:
        return find_corpus(evidence)
    except (HeldoutError, KeyError, TypeError, ValueError, AttributeError, OSError, RuntimeError):
        return None  # a damaged document is a broken link, and is named as such; some accounts have no home
