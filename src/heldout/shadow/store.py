"""Where a slot's shadow lives: inputs as they came, predictions by batch and version, outcomes, and who did what.

<slot>/inputs/<sha256>.<suffix>              stored once, read by everyone
<slot>/batches/<name>/batch.json             what was predicted, and which version served
<slot>/batches/<name>/<version>.jsonl        predictions; they count once <version>.json names them by digest
<slot>/outcomes.jsonl  matured.jsonl         see ``outcomes``
<slot>/events.jsonl                          append-only, hash-chained
"""

from __future__ import annotations

import datetime as dt
import io
import shutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from heldout.errors import HeldoutError, InputError, RefusedError, TamperedError
from heldout.evidence import (
    alone,
    append_link,
    atomic_path,
    read_chain,
    read_json,
    read_plain,
    sha256_bytes,
    sha256_file,
    write_bytes,
    write_json,
)
from heldout.registry.lookup import need_slot
from heldout.shadow.batch import Batch, Card

CARD = "heldout.shadow-predictions/1"
EVENT = "heldout.shadow-event/1"


def stored_slot(root: Path) -> str:
    """The one slot that has a shadow in this folder.

    Raises:
        InputError: If there is none, or more than one.
    """
    found = sorted(path.parent.name for path in root.glob("*/batches"))
    if len(found) != 1:
        raise InputError(
            f"{len(found) or 'no'} slots have a shadow here",
            where=str(root),
            hint=f"give --slot: {', '.join(found)}" if found else "`heldout shadow run` makes one",
        )
    return found[0]


class Stored(NamedTuple):
    """A batch in the store: what it is, when it came, and which version served it."""

    batch: Batch
    at_utc: str
    served: str


class ShadowStore:
    """The shadow of one slot. Any number of processes may use it."""

    def __init__(self, root: str | Path, slot: str) -> None:
        """Name the place; nothing is written yet."""
        self.root = Path(root).resolve() / need_slot(slot)
        self.slot = slot

    def folder(self, name: str) -> Path:
        """Folder of a batch."""
        return self.root / "batches" / name

    def input(self, batch: Batch) -> Path:
        """The stored input file of a batch."""
        return self.root / "inputs" / f"{batch.sha256}{batch.suffix}"

    def take(self, batch: Batch, source: Path, served: str, now: dt.datetime) -> Stored:
        """Store a batch, or find it; what was stored first stays.

        Args:
            batch: What is to be predicted.
            source: Its input file.
            served: The champion of this moment.
            now: This moment.

        Raises:
            RefusedError: If another batch has that name.
            TamperedError: If the stored input is not what it was.
        """
        path = self.folder(batch.name) / "batch.json"
        with self.lock("batch"):
            if not path.exists():
                self._keep_input(batch, source)
                moment = now.isoformat(timespec="milliseconds")
                write_json(path, batch.to_json() | {"slot": self.slot, "at_utc": moment, "served": served})
        stored = self.stored(batch.name)
        if stored.batch.digest != batch.digest:
            raise RefusedError(
                f"the batch {batch.name!r} is another one: its input or its times differ",
                where=str(path),
                hint="give this one a --name of its own",
            )
        self.check_input(batch)
        return stored

    def stored(self, name: str) -> Stored:
        """A batch of the store.

        Raises:
            InputError: If there is none of that name.
        """
        path = self.folder(name) / "batch.json"
        if not path.exists():
            raise InputError(f"there is no batch {name!r}", where=str(path), hint="see `heldout shadow list`")
        document = read_json(path)
        return Stored(Batch.from_json(document, str(path)), str(document["at_utc"]), str(document["served"]))

    def batches(self) -> list[Stored]:
        """All batches, in the order in which they came."""
        names = [path.parent.name for path in self.root.glob("batches/*/batch.json")]
        return sorted((self.stored(name) for name in names), key=lambda each: (each.at_utc, each.batch.name))

    def check_input(self, batch: Batch) -> None:
        """See that the stored input is what came in.

        Raises:
            TamperedError: If it is not.
        """
        path = self.input(batch)
        if not path.is_file() or sha256_file(path) != batch.sha256:
            raise TamperedError("the stored input is not the one that came in", where=str(path), hint="restore it")

    def has(self, batch: Batch, version: str) -> bool:
        """Whether a version's predictions of a batch are there, whole."""
        try:
            self.card(batch, version)
        except HeldoutError:
            return False
        return True

    def card(self, batch: Batch, version: str) -> Card:
        """What is known of a version's predictions of a batch.

        Raises:
            InputError: If there are none.
            TamperedError: If they are not what the card names.
        """
        path = self.folder(batch.name) / f"{version}.json"
        if not path.exists():
            raise InputError(f"{version} has not predicted this batch", where=str(path), hint="heldout shadow backfill")
        card: Card = read_json(path)
        predictions = path.with_suffix(".jsonl")
        if card.get("batch_digest") != batch.digest or not predictions.is_file():
            raise TamperedError("the card is of another batch", where=str(path), hint="remove it and backfill")
        if sha256_file(predictions) != card["sha256"]:
            raise TamperedError("the predictions were changed", where=str(predictions), hint="remove them and backfill")
        return card

    def put(self, batch: Batch, version: str, predictions: bytes, facts: Mapping[str, Any]) -> None:
        """Store predictions; the card goes last and makes them count."""
        folder = self.folder(batch.name)
        self._replace(folder / f"{version}.jsonl", predictions)
        card = {
            "schema": CARD,
            "version": version,
            "batch": batch.name,
            "batch_digest": batch.digest,
            "sha256": sha256_bytes(predictions),
            **facts,
        }
        write_json(folder / f"{version}.json", card)

    def cards(self) -> Iterator[tuple[Stored, Card]]:
        """Every version's predictions of every batch, in the order of batches, then of versions."""
        for stored in self.batches():
            for path in sorted(self.folder(stored.batch.name).glob("*.json")):
                if path.name != "batch.json":
                    yield stored, self.card(stored.batch, path.stem)

    def predictions(self) -> pl.DataFrame:
        """Everything that was predicted: a row a batch, version and sample, with the card's arm and ``late``.

        A version that predicted a sample in several batches stands there with the first of them.

        Returns:
            Columns batch, at_utc (when it came), version, arm, variant, late, sample_id, in_sample, prediction, and the
            keys of the inputs; as_of_utc where rows have dates.
        """
        parts = []
        for stored, card in self.cards():
            data = read_plain(self.folder(stored.batch.name) / f"{card['version']}.jsonl")
            facts: dict[str, str | bool] = {"batch": stored.batch.name, "at_utc": stored.at_utc}
            facts |= {key: card[key] for key in ("version", "arm", "variant", "late")}
            frame = pl.read_ndjson(io.BytesIO(data), infer_schema_length=None)
            parts.append(frame.select(*(pl.lit(value).alias(key) for key, value in facts.items()), pl.all()))
        if not parts:
            return pl.DataFrame()
        whole = pl.concat(parts, how="diagonal_relaxed")
        return whole.unique(["version", "sample_id"], keep="first", maintain_order=True)

    def only_one(self, batch: Batch, role: str) -> AbstractContextManager[None]:
        """Two processes that predict the same batch would do the same work.

        Raises:
            StaleError: If another one is at it.
        """
        return self.lock(f"{batch.name}.{role}", timeout=0)

    def note(self, **fields: Any) -> None:
        """Append to what happened."""
        with self.lock("events"):
            append_link(self.root / "events.jsonl", EVENT, fields)

    def events(self) -> list[dict[str, Any]]:
        """What happened, oldest first.

        Raises:
            TamperedError: If the record does not hold.
        """
        return [record for record, _ in read_chain(self.root / "events.jsonl")]

    def _keep_input(self, batch: Batch, source: Path) -> None:
        path = self.input(batch)
        if not path.exists():
            with atomic_path(path) as partial:
                shutil.copyfile(source, partial)
        if sha256_file(path) != batch.sha256:
            raise InputError("the batch changed while it was read", where=str(source), hint="run the command again")
        path.chmod(0o444)

    def _replace(self, path: Path, data: bytes) -> None:
        write_bytes(path, data)
        path.chmod(0o444)

    def lock(self, name: str, timeout: float = 60) -> AbstractContextManager[None]:
        """Hold one thing for oneself.

        Raises:
            StaleError: If another process did not let go of it in time.
        """
        return alone(self.root / "locks", f"is at {name}", lock=f"{name}.lock", wait=timeout)
