"""What is wrong with a package, file by file: stable codes, each with its group of pages in ``docs/package.md``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from heldout.errors import RefusedError

SCHEMA = "heldout.package-audit/1"
PAGE = "docs/package.md"

# By code: what the group is about, and how to mend it.
CODES = {
    "HO-P001": ("a container that cannot be trusted", "pack the files again, or audit the unpacked folder"),
    "HO-P002": ("something that is no plain file", "put the file itself there, or leave it out"),
    "HO-P003": ("a name that leaves the package or means something else elsewhere", "rename the file"),
    "HO-P004": ("a hidden file", "leave it out"),
    "HO-P005": ("one name twice", "keep one of them"),
    "HO-P006": ("too large, or too many", "leave it out, or raise the bound on purpose"),
    "HO-P007": ("files that are not those of the package's manifest", "ask for the package as it was written"),
    "HO-P010": ("a file without a declared role", "leave it out, or declare its role in the contract"),
    "HO-P011": ("a file whose role the contract does not publish", "leave it out"),
    "HO-P012": ("content that is not of the declared type", "write the file again as what its name says"),
    "HO-P013": ("a file that the contract requires and that is missing", "evaluate again, to its end"),
    "HO-P020": ("weights", "leave them out; say their sha256 instead"),
    "HO-P021": ("raw media or recordings", "leave them out; say their sha256 instead"),
    "HO-P022": ("an archive inside", "leave it out, or publish what is in it file by file"),
    "HO-P023": ("bytes that are neither text nor a picture", "leave it out, or write it as JSON or CSV"),
    "HO-P024": ("a pickle: it runs code when it is opened", "leave it out"),
    "HO-P025": ("something encoded as text", "leave it out: what is encoded cannot be judged"),
    "HO-P026": ("numbers in bulk where a document should be", "publish a summary of them"),
    "HO-P027": ("a picture that carries more than a picture", "save the picture again without metadata"),
    "HO-P028": ("a page that loads or hides something", "put everything shown into the page, and nothing else"),
    "HO-P029": ("a cell that a spreadsheet would run", "rename the value so that it does not begin with = + - or @"),
    "HO-P030": ("a secret", "revoke it now: it may have been seen; then remove it from what was written"),
    "HO-P031": ("an absolute path", "package the run with `heldout package public`, which takes it out"),
    "HO-P032": ("a person's name or home folder", "package the run with `heldout package public`, or add `--hide`"),
    "HO-P033": ("a host's name", "package the run with `heldout package public`, or add `--hide`"),
    "HO-P034": ("an e-mail address", "package the run with `heldout package public`, which takes it out"),
}


@dataclass(frozen=True, order=True)
class Finding:
    """One thing that must not be published.

    Attributes:
        file: Its name in the package; of a file inside a file, both, joined by ``!``.
        code: One of ``CODES``.
        place: Line, key, column or member; empty where it is the whole file.
        what: One sentence. What was found is never repeated where it is private or secret.
    """

    file: str
    code: str
    place: str
    what: str

    @property
    def hint(self) -> str:
        """How to mend it."""
        return CODES[self.code][1]

    @property
    def where(self) -> str:
        """File and place."""
        return f"{self.file}: {self.place}" if self.place else self.file

    def to_json(self) -> dict[str, Any]:
        """The finding as an entry of a document."""
        return asdict(self) | {"hint": self.hint, "page": f"{PAGE}#{self.code.lower()}"}


def audit_document(subject: str, findings: Sequence[Finding], files: int, contract: str | None) -> dict[str, Any]:
    """The document of an audit."""
    return {
        "schema": SCHEMA,
        "package": subject,
        "contract": contract,
        "result": "REFUSED" if findings else "CLEAN",
        "files": files,
        "findings": [finding.to_json() for finding in findings],
    }


def refuse(findings: Sequence[Finding]) -> None:
    """Refuse at the first finding, and say how many more there are.

    Raises:
        RefusedError: If there is a finding.
    """
    if not findings:
        return
    first, more = findings[0], len(findings) - 1
    beside = "".join(f"\n  also:  [{each.code}] {each.where}: {each.what}" for each in findings[1:10])
    rest = f"\n  also:  {more - 9} more" if more > 9 else ""
    raise RefusedError(f"{first.what}{beside}{rest}", where=first.where, hint=first.hint, code=first.code)
