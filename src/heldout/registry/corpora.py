"""Where the corpus of a run lies now: as its record says, or beside it in an imported bundle; known by its digest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

from heldout.corpus.parts import content_sha256, is_pattern, is_there
from heldout.errors import HeldoutError
from heldout.run.required import file_sha256
from heldout.verify.evidence import RunEvidence

_CARRIED = "corpus"  # the folder of a bundle, beside its runs
_LEVELS = 4  # run, study, runs, and the folder of the study file


class FoundCorpus(NamedTuple):
    """A corpus file.

    Attributes:
        path: The file.
        how: Someone gave it; it was found where the run's record says; or a bundle carried it beside the run.
    """

    path: Path
    how: Literal["given", "found", "carried"]


def find_corpus(evidence: RunEvidence) -> FoundCorpus | None:
    """The corpus that was judged, if its file is still there with the same bytes; None if it is not.

    A run that came from elsewhere names a path of elsewhere: nothing but the digest makes a file its corpus.
    """
    wanted = file_sha256(evidence.corpus)
    for found in _candidates(evidence):
        try:
            if is_there(found.path) and content_sha256(found.path) == wanted:
                return found
        except (HeldoutError, OSError):
            continue
    return None


def _candidates(evidence: RunEvidence) -> Iterator[FoundCorpus]:
    stated = PurePosixPath(str(evidence.verdict["judged"]["corpus_path"]))
    folder = evidence.folder.resolve()
    above = folder.parents[:_LEVELS]
    if len(above) > 2:
        name = stated.parent.name if is_pattern(Path(stated)) else stated.name
        yield FoundCorpus(above[2] / _CARRIED / name, "carried")
    if stated.is_absolute():
        yield FoundCorpus(Path(stated), "found")
    elif stated.parts[:1] == ("~",):
        yield FoundCorpus(Path.home().joinpath(*stated.parts[1:]), "found")
    else:
        places = [Path.cwd(), *above]
        yield from (FoundCorpus(place / stated, "found") for place in places)
        # A path outside the working folder is recorded by its name alone.
        yield from (FoundCorpus(place / name / stated.name, "found") for place in above for name in ("", _CARRIED))
