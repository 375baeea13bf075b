"""Files, hashes and provenance: what every other room stands on."""

from heldout.evidence.chain import START, Link, append_link, head, read_chain, read_links
from heldout.evidence.files import (
    JsonLines,
    atomic_path,
    flush_folder,
    read_json_lines,
    sha256_bytes,
    sha256_file,
    write_bytes,
    write_json,
    write_page,
    write_text,
)
from heldout.evidence.opening import open_plain, plain_path, read_plain
from heldout.evidence.strict import canonical, digest, dumps, finite_or_none, loads, read_json

__all__ = [
    "START",
    "JsonLines",
    "Link",
    "append_link",
    "atomic_path",
    "canonical",
    "digest",
    "dumps",
    "finite_or_none",
    "flush_folder",
    "head",
    "loads",
    "open_plain",
    "plain_path",
    "read_chain",
    "read_json",
    "read_json_lines",
    "read_links",
    "read_plain",
    "sha256_bytes",
    "sha256_file",
    "write_bytes",
    "write_json",
    "write_page",
    "write_text",
]
