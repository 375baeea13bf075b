"""The windows of an index as samples: found by their place in the file, so that no more is read than is asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import msgspec

from heldout.domains.embodied.episodes.labels import Answer
from heldout.domains.embodied.index.heads import Head, read_heads
from heldout.domains.embodied.index.names import INDEX_FILE, MANIFEST_FILE, SEALED
from heldout.domains.embodied.index.sealed import open_targets
from heldout.domains.embodied.index.shape import IndexManifest, Record
from heldout.errors import InputError, TamperedError
from heldout.evidence import digest, loads, open_plain, read_json, sha256_file
from heldout.predict.session import Sample


class _Line(msgspec.Struct):
    id: str
    episode_id: str
    split: str


_LINES: msgspec.json.Decoder[_Line] = msgspec.json.Decoder(_Line)


class IndexSource:
    """A window index that is the one its manifest names.

    Attributes:
        folder: Of the index.
        manifest: ``window_index_manifest.json``.
        sha256: Of ``window_index.jsonl``.
    """

    def __init__(self, folder: Path) -> None:
        """Open an index, by its folder or its file.

        Raises:
            InputError: If there is none.
            TamperedError: If it is not the one that its manifest names.
        """
        named = folder.name == INDEX_FILE or folder.is_file()
        self.folder = folder.parent if named else folder
        self._path = folder if named else folder / INDEX_FILE
        self.manifest: IndexManifest = read_json(self.folder / MANIFEST_FILE)
        if not self._path.is_file():
            raise InputError("there is no index", where=str(self._path), hint="heldout index build writes one")
        self.sha256 = sha256_file(self._path)
        if self.sha256 != self.manifest.get("output_sha256"):
            raise TamperedError(
                "the index is not the one that its manifest names", where=str(self._path), hint="build it again"
            )

    def samples(self, split: str, limit: int = 0) -> list[Sample]:
        """Windows of a split in the order of the file; with a limit the first so many.

        Raises:
            InputError: If there are none.
        """
        heads = (head for head in self.heads() if head.split == split)
        found = self.samples_of(islice(heads, limit or None))
        if not found:
            raise InputError(f"split {split!r} has no windows", where=str(self._path), hint="train, val or test")
        return found

    @staticmethod
    def samples_of(heads: Iterable[Head]) -> list[Sample]:
        """These windows as samples."""
        return [Sample(head.id, head.episode_id, (head.offset, head.length)) for head in heads]

    def heads(self) -> Iterator[Head]:
        """Of all windows; an index without heads, from elsewhere or from before, is read."""
        named = self.manifest.get("heads")
        if named:
            yield from read_heads(self.folder, named["sha256"])
            return
        offset = 0
        with open_plain(self._path) as stream:
            for number, line in enumerate(stream, start=1):
                try:
                    one = _LINES.decode(line)
                except msgspec.MsgspecError as error:
                    where = f"{self._path}:{number}"
                    raise InputError(f"no record: {error}", where=where, hint="build the index again") from None
                yield Head(one.id, one.episode_id, one.split, offset, len(line))
                offset += len(line)

    def records(self, samples: Sequence[Sample]) -> Iterator[Record]:
        """The record of each sample, in order."""
        with open_plain(self._path) as stream:
            for sample in samples:
                offset, length = sample.ref
                stream.seek(offset)
                yield loads(stream.read(length), where=f"{self._path}: {sample.id}")

    def prompt(self, sample: Sample) -> dict[str, str]:
        """What is asked and what may be answered, by digest."""
        language = next(self.records([sample]))["modalities"]["language"]
        return {
            "question": digest(language["question"]),
            "options": digest([language["action_options"], language["subtask_options"]]),
        }

    def answers(
        self, split: str, samples: Sequence[Sample], purpose: str, ledger_head: str | None = None
    ) -> dict[str, Answer]:
        """What is true, by window id; opening a sealed split is written down first."""
        if split in SEALED and self.manifest.get("sealed_targets"):
            return open_targets(self.folder, purpose, ledger_head)
        return {str(record["id"]): record["supervision"] for record in self.records(samples)}
