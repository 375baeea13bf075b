"""A verdict that was verified before it is shown: what ``heldout gate DIR`` believes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from heldout.documents.names import RUN_FILE
from heldout.errors import InputError, PrerequisiteError
from heldout.gate.verdict_files import VERDICTS, read_verdict
from heldout.package.public.roles import PACKAGE_FILE
from heldout.package.verify.any import verify_any
from heldout.verify import Verification
from heldout.verify.evaluations import evaluation_folder

_RUN = "run"  # where a public package keeps what it publishes
_DECIDING = ("rules", "verdict")


class Judged(NamedTuple):
    """A verdict and the chain that it follows from.

    Attributes:
        document: The verdict document.
        verification: Every link that was looked at; none is broken.
    """

    document: Mapping[str, Any]
    verification: Verification


def read_judged(path: Path) -> Judged:
    """The verdict of a run, an evaluation or a public package, after every link that needs no corpus was recomputed.

    Args:
        path: The folder, or the verdict file in it.

    Raises:
        InputError: If there is no verdict, or a verdict alone: a file that says PROMOTE is no evidence.
        RefusedError: If two verdicts lie there.
        TamperedError: Naming the first broken link.
        PrerequisiteError: If rules or verdict cannot be recomputed here.
    """
    folder = path.parent if path.name in VERDICTS else path
    home = folder / _RUN if (folder / PACKAGE_FILE).is_file() else folder
    document = read_verdict(home)
    if document is None:
        raise InputError("the run has no verdict", where=str(home), hint="run the study to its end")
    package = (home.parent / PACKAGE_FILE).is_file()
    if not (package or (home / RUN_FILE).exists() or evaluation_folder(home)):
        raise InputError(
            f"{document['verdict']}.json lies alone: without the files that it judged, nothing can be verified",
            where=str(home),
            hint="name the whole folder of the run, the evaluation or the package",
        )
    found = verify_any(home.parent if package else home)
    found.raise_if_broken()
    open_links = [link for link in found.links if link.id in _DECIDING and link.state != "OK"]
    if open_links and not package:
        raise PrerequisiteError(
            f"the link {open_links[0].title!r} cannot be checked here: {open_links[0].what}",
            where=str(home),
            hint="install what the run was judged with, then ask again",
        )
    return Judged(document, found)
