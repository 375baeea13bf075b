"""How it is known that a model from elsewhere never saw the groups that are judged: its training corpus, or a word.

``fit.held_out`` names the ``corpus.json`` of what it was trained on, which the run copies, or attests in words how the
groups were held out. Either is part of the lock and of the rules that are registered for that model.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NotRequired, Required, TypedDict

from heldout.backbone import Backbone
from heldout.backbone.asked import AskedBackbone, asked_of
from heldout.backbone.given import level_of_backbone
from heldout.documents.names import TRAINED_ON_FILE
from heldout.errors import HeldoutError, StudyError, TamperedError
from heldout.evidence import loads, read_plain, sha256_bytes, write_bytes
from heldout.study import Document

_SCHEMA = "heldout.corpus/"
_WORDS = ("reader", "target", "task", "weight")  # what is compared, besides features
_HINT = "name the corpus.json of the run, or of the corpus, that the model was trained on"


class TrainedGroup(TypedDict):
    """A group that a model was trained on."""

    id: str
    sha256: str


class TrainedOn(TypedDict, total=False):
    """The manifest of a training corpus, as far as it is read."""

    groups: Required[list[TrainedGroup]]
    features: list[str]
    reader: str | None
    target: str | None
    task: str | None
    weight: str | None


class ModelBlock(TypedDict):
    """A model from elsewhere in a lock; of a baseline's nobody asks how groups were held out."""

    sha256: str
    held_out: NotRequired[dict[str, str] | None]
    evidence: NotRequired[Literal["predicted"]]


def models_block(main: Backbone, baselines: Mapping[str, Backbone], document: Document) -> dict[str, ModelBlock]:
    """The block ``models`` of a lock: by contender, the digest of its model from elsewhere; empty if all are fitted.

    Raises:
        StudyError: If what `fit.held_out` names cannot be read, or stands where it changes nothing.
    """
    found: dict[str, ModelBlock] = {}
    own = asked_of(main)
    if own is not None:
        said = _said(own, document)
        found[""] = _block(own) | {"held_out": said}
    for index, (name, backbone) in enumerate(baselines.items()):
        asked = asked_of(backbone)
        if asked is not None and asked.params.held_out is not None:
            raise StudyError(
                "nobody asks how the groups of a baseline's model were held out",
                where=document.where(("baselines", index, "fit", "held_out")),
                hint="remove it: only the variant's own model is judged",
            )
        if asked is not None:
            found[name] = _block(asked)
    return found


def _block(asked: AskedBackbone) -> ModelBlock:
    """Its digest, and of predictions alone what they are: whoever reads of another model knows that it was asked."""
    found: ModelBlock = {"sha256": asked.sha256}
    return found | {"evidence": "predicted"} if level_of_backbone(asked) == "predicted" else found


def _said(asked: AskedBackbone, document: Document) -> dict[str, str] | None:
    known = asked.params.held_out
    if known is None or known.trained_on is None:
        return None if known is None else {"says": str(known.says)}
    try:
        data = read_plain(known.trained_on)
        parse_trained_on(data, str(known.trained_on))
    except (HeldoutError, OSError, ValueError) as error:  # a zero byte in the name is a ValueError
        told = error.what if isinstance(error, HeldoutError) else getattr(error, "strerror", None) or str(error)
        where = f"{document.where(('fit', 'held_out', 'trained_on'))} (fit.held_out.trained_on)"
        raise StudyError(f"the training corpus cannot be read: {told}", where=where, hint=_HINT) from None
    return {"trained_on": sha256_bytes(data)}


def parse_trained_on(data: bytes, where: str) -> TrainedOn:
    """The manifest of a training corpus.

    Raises:
        StudyError: If it is none.
    """
    found = loads(data, where=where)
    groups = found.get("groups") if isinstance(found, dict) else None
    if not isinstance(groups, list) or not str(found.get("schema")).startswith(_SCHEMA):
        raise StudyError("this is no manifest of a corpus (heldout.corpus/1)", where=where, hint=_HINT)
    for each in groups:
        if not isinstance(each, dict) or not all(_is_word(each.get(key)) for key in ("id", "sha256")):
            raise StudyError("a group of the manifest has no name or no digest", where=where, hint=_HINT)
    features = found.get("features", [])
    if not isinstance(features, list) or not all(map(_is_word, features)):
        raise StudyError("the manifest names no features: `features` is no list of names", where=where, hint=_HINT)
    for key in _WORDS:
        if found.get(key) is not None and not _is_word(found[key]):
            raise StudyError(f"the manifest says no {key}: it is no word", where=where, hint=_HINT)
    manifest: TrainedOn = found
    return manifest


def _is_word(found: object) -> bool:
    """Text that can be written down again."""
    if not isinstance(found, str) or not found:
        return False
    try:
        found.encode()
    except UnicodeEncodeError:
        return False
    return True


def copy_trained_on(asked: AskedBackbone, held_out: Mapping[str, Any] | None, folder: Path) -> None:
    """Leave the manifest of the training corpus in the run, if the study names one.

    Raises:
        StudyError: If it changed since the study was read.
    """
    target = folder / TRAINED_ON_FILE
    known = asked.params.held_out
    if held_out is None or "trained_on" not in held_out or known is None or known.trained_on is None:
        target.unlink(missing_ok=True)
        return
    data = read_plain(known.trained_on)
    if sha256_bytes(data) != held_out["trained_on"]:
        what = "the manifest of the training corpus changed meanwhile"
        raise StudyError(what, where=str(known.trained_on), hint="run the study again")
    write_bytes(target, data)


def read_trained_on(folder: Path, held_out: Mapping[str, Any] | None) -> TrainedOn | None:
    """The manifest of the training corpus as it lies in a run; None where the study named none.

    Raises:
        TamperedError: If it is not the one that the lock names.
    """
    if held_out is None or "trained_on" not in held_out:
        return None
    path = folder / TRAINED_ON_FILE
    data = read_plain(path, links=False)
    if sha256_bytes(data) != held_out["trained_on"]:
        hint = "do not rely on it; run the study again"
        raise TamperedError("the training corpus is not the one that the lock names", where=str(path), hint=hint)
    return parse_trained_on(data, str(path))
