"""Files, hashes and provenance: what every other room stands on."""

from heldout.evidence.chain import START, Link, append_link, head, read_chain, read_links
from heldout.evidence.events import Events, Listener, published_event
from heldout.evidence.files import (
    FileEntry,
    JsonLines,
    atomic_path,
    file_entry,
    flush_folder,
    read_json_lines,
    settle,
    sha256_bytes,
    sha256_file,
    unsettled,
    write_bytes,
    write_json,
    write_page,
    write_text,
)
from heldout.evidence.locks import alone
from heldout.evidence.opening import open_plain, plain_path, plain_source, read_plain
from heldout.evidence.strict import canonical, digest, dumps, finite_or_none, loads, read_json

__all__ = [
    "START",
    "Events",
    "FileEntry",
    "JsonLines",
    "Link",
    "Listener",
    "alone",
    "append_link",
    "atomic_path",
    "canonical",
    "digest",
    "dumps",
    "file_entry",
    "finite_or_none",
    "flush_folder",
    "head",
    "loads",
    "open_plain",
    "plain_path",
    "plain_source",
    "published_event",
    "read_chain",
    "read_json",
    "read_json_lines",
    "read_links",
    "read_plain",
    "settle",
    "sha256_bytes",
    "sha256_file",
    "unsettled",
    "write_bytes",
    "write_json",
    "write_page",
    "write_text",
]
