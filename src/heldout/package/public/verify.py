"""``heldout verify`` for a public package: what its files still show of a run, link by link, and what they cannot."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from heldout.documents.names import (
    CORPUS_FILE,
    HOLD_FILE,
    LOCK_FILE,
    MANIFEST_FILE,
    METRICS_FILE,
    PROMOTE_FILE,
    RUN_FILE,
    SPLIT_FILE,
)
from heldout.errors import InputError, TamperedError
from heldout.evidence import read_json, sha256_file
from heldout.package.archive.contents import compare
from heldout.package.archive.read import Member
from heldout.package.public.evidence import PublishedRun
from heldout.package.public.roles import PACKAGE_FILE, PACKAGE_SCHEMA
from heldout.run.layout import files_digest
from heldout.task.table import table_files, table_name
from heldout.verify import files, inputs, published, results
from heldout.verify.chain import BrokenError, Check, Found, NotCheckedError
from heldout.verify.evaluations import EvaluationEvidence, checks_of
from heldout.verify.exports import ExportEvidence

_RUN = "run"
_PREDICTIONS = "predictions"  # in whatever form
_MODELS = "models and the fits' own predictions are not published"


def check_package(evidence: ExportEvidence) -> str:
    """Every file is the one that the package names, and no other is there."""
    document = evidence.document
    if document.get("schema") != PACKAGE_SCHEMA or evidence.path.name != PACKAGE_FILE:
        raise BrokenError(f"the schema is {document.get('schema')!r}", evidence.path.name)
    if document["of"]["kind"] not in ("run", "evaluation"):
        raise BrokenError(f"it is of a {document['of']['kind']!r}, not of a run or an evaluation", evidence.path.name)
    found = {}
    for path in sorted(evidence.folder.rglob("*")):
        name = path.relative_to(evidence.folder).as_posix()
        if path.is_symlink():
            raise BrokenError("a link stands in the package", name)
        if path.is_file() and name != PACKAGE_FILE:
            found[name] = Member(path.stat().st_size, sha256_file(path))
    try:
        compare(document.get("files"), found, PACKAGE_FILE)
    except TamperedError as error:
        raise BrokenError(error.what, error.where) from None
    scrubbed = sum(bool(entry["scrubbed"]) for entry in document["files"].values())
    return f"{len(found)} files as they were published, {scrubbed} of them without private names"


def check_origin(evidence: ExportEvidence) -> str:
    """Original digests are those of the run's own manifest, and of a file that was not changed the published one."""
    same = 0
    for place, entry in _files(evidence).items():
        as_it_was = entry["original"] is not None and not entry["scrubbed"]
        if as_it_was and entry["sha256"] != entry["original"]["sha256"]:
            raise BrokenError("it is said to be as it was written, and is not", place)
        same += as_it_was
    if evidence.document["of"]["kind"] != "run":
        return f"{same} files as they were written"
    stated = _run(evidence).manifest["files"]
    for place, entry in _files(evidence).items():
        name, original = place.removeprefix(f"{_RUN}/"), entry["original"]
        if original is not None and name in stated and original != dict(stated[name]):
            raise BrokenError("the run's manifest names another file", place)
    left = len(stated) - sum(f"{_RUN}/{name}" in _files(evidence) for name in stated)
    return f"{same} files as the run wrote them; {left} of the run's manifest are not published"


def check_bound(evidence: ExportEvidence) -> str:
    """The verdict names the run's manifest, and predictions and metrics, by digest."""
    if evidence.document["of"]["kind"] != "run":
        return _bound_evaluation(evidence)
    run = _run(evidence)
    judged, stated = run.verdict["judged"], run.manifest["files"]
    for label, name in (("predictions", table_name(stated)), ("metrics", METRICS_FILE)):
        if stated[name]["sha256"] != judged[f"{label}_sha256"]:
            raise BrokenError(f"the verdict judged another {name}", f"judged.{label}_sha256")
    if _scrubbed(evidence, MANIFEST_FILE):
        raise NotCheckedError("manifest.json names files by private names, which were taken out")
    if files_digest(stated) != judged["files_sha256"]:
        raise BrokenError("the verdict was given over other files than those of the manifest", "judged.files_sha256")
    return f"the verdict names {len(stated) - 1} files by digest {judged['files_sha256'][:12]}"


def _bound_evaluation(evidence: ExportEvidence) -> str:
    """The verdict of an evaluation names the predictions and the metrics that it judged."""
    path = next((evidence.folder / _RUN / name for name in (PROMOTE_FILE, HOLD_FILE)
                 if f"{_RUN}/{name}" in _files(evidence)), None)  # fmt: skip
    if path is None:
        raise NotCheckedError("the verdict is not published")
    verdict, originals = read_json(path), dict[str, set[str]]()
    for entry in _files(evidence).values():
        if entry["original"] is not None:
            originals.setdefault(entry["role"], set()).add(entry["original"]["sha256"])
    judged = verdict["judged"]
    if judged["metrics_sha256"] not in originals.get("metrics", ()):
        raise BrokenError("the verdict judged other metrics", f"{path.name}: judged.metrics_sha256")
    if judged["predictions_sha256"] in originals.get("predictions", ()):
        return f"{path.name} names the predictions and the metrics"
    if verdict["evidence"] == "computed":
        raise BrokenError("the verdict judged other predictions", f"{path.name}: judged.predictions_sha256")
    return (
        f"{path.name} names the metrics; its predictions were brought from elsewhere and are not published as they were"
    )


def check_records(run: PublishedRun) -> str:
    """The record of every fit has the key of this variant, corpus, fold and code."""
    count = 0
    folds = {fold.id: fold for fold in run.split.folds}
    for name in run.contenders:
        for (seed, fold), unit in run.units(name).items():
            if unit.document["key"] != run.unit_key(name, seed, folds[fold], unit.document["schema"]):
                raise BrokenError("the fit was made for another corpus, configuration, fold or code", unit.folder.name)
            count += 1
    if not count:
        raise NotCheckedError("no records of fits are published")
    return f"{count} records; {_MODELS}"


def check_withheld(evidence: ExportEvidence) -> str:
    """What no file of the package can show."""
    withheld: Mapping[str, Mapping[str, int]] = evidence.document["withheld"]
    count, size = (sum(entry[key] for entry in withheld.values()) for key in ("files", "bytes"))
    raise NotCheckedError(f"{count} files of {size} bytes are not published: {', '.join(withheld) or 'none'}")


def check_source(evidence: ExportEvidence) -> str:
    """The package is of the run that was given."""
    run = evidence.known_run()
    for place, entry in _files(evidence).items():
        name, original = place.removeprefix(f"{_RUN}/"), entry["original"]
        path = run.folder / name
        if original is None or _scrubbed(evidence, MANIFEST_FILE):
            continue
        if not path.is_file() or sha256_file(path) != original["sha256"]:
            raise BrokenError("the run has another file of this name", place)
    return "every file is one of this run"


def checks(evidence: ExportEvidence) -> tuple[Check, ...]:
    """The links of a package: those of the run, or those of the evaluation that it is of."""
    of = evidence.document.get("of")
    if isinstance(of, dict) and of.get("kind") == "run":
        return CHAIN
    inner = evaluation_of(evidence)
    return (*_PACKAGE, *(_of_evaluation(check, inner) for check in checks_of(inner)), _WITHHELD)


def evaluation_of(evidence: ExportEvidence) -> EvaluationEvidence:
    """The evaluation in a package, with the digests of its files before private names were taken out."""
    files = evidence.document.get("files")
    changed = {
        place.removeprefix(f"{_RUN}/"): str(entry["original"]["sha256"])
        for place, entry in (files.items() if isinstance(files, dict) else ())
        if isinstance(entry, dict) and entry.get("scrubbed") and isinstance(entry.get("original"), dict)
    }
    return EvaluationEvidence(evidence.folder / _RUN, changed, published=True)


def _of_evaluation(check: Check, inner: EvaluationEvidence) -> Check:
    """A look at an evaluation, as one at its package."""

    def at_package(evidence: ExportEvidence) -> str | Found:
        try:
            return check.look(inner)
        except BrokenError as error:
            raise BrokenError(error.what, inner.inside(error.where)) from None

    return check._replace(look=at_package, needs=("package-files", *check.needs))


def _run(evidence: ExportEvidence) -> PublishedRun:
    folder = evidence.folder / _RUN
    if evidence.document["of"]["kind"] != "run":
        raise NotCheckedError("an evaluation of a backbone, and no run of a study")
    if not any((folder / name).is_file() for name in (PROMOTE_FILE, HOLD_FILE)):
        raise NotCheckedError("the verdict is not published")
    try:
        PublishedRun.open(folder)  # refuses what is incomplete
        there = next(folder / name for name in (PROMOTE_FILE, HOLD_FILE) if (folder / name).is_file())
        return PublishedRun(folder, there)
    except InputError as error:
        raise BrokenError(error.what, error.where) from None


def _files(evidence: ExportEvidence) -> Mapping[str, Mapping[str, Any]]:
    files: Mapping[str, Mapping[str, Any]] = evidence.document["files"]
    return files


def _scrubbed(evidence: ExportEvidence, name: str) -> bool:
    return bool(_files(evidence).get(f"{_RUN}/{name}", {}).get("scrubbed"))


def _of_run(look: Callable[[Any], str], reads: tuple[str, ...], digest_of: str = "") -> Callable[[ExportEvidence], str]:
    """A look at a run, as one at a package.

    Args:
        look: What looks at a run.
        reads: Files without which it cannot; `_PREDICTIONS` for those of the predictions.
        digest_of: A file whose original digest it needs: once scrubbed, it cannot be compared.
    """

    def at_package(evidence: ExportEvidence) -> str:
        run = _run(evidence)
        tables = table_files(run.manifest["files"]) if _PREDICTIONS in reads else ()
        named = [*(name for name in reads if name != _PREDICTIONS), *tables]
        lacking = [name for name in named if not (run.folder / name).is_file()]
        if lacking:
            raise NotCheckedError(f"{lacking[0]} is not published")
        if digest_of and _scrubbed(evidence, digest_of):
            raise NotCheckedError(f"{digest_of} was published without private names: its digest is another")
        return look(run)

    return at_package


_TABLE = (LOCK_FILE, CORPUS_FILE, SPLIT_FILE, _PREDICTIONS, METRICS_FILE)
_PACKAGE = (
    Check("package-files", "package → every file", check_package),
    Check("package-origin", "published → original", check_origin, ("package-files",)),
    Check("package-bound", "verdict → what it judged", check_bound, ("package-origin",)),
)
_WITHHELD = Check("withheld", "what stayed at home", check_withheld, ("package-files",))
CHAIN = (
    _PACKAGE[0],
    Check("verdict-file", "one verdict", _of_run(files.check_verdict_file, ()), ("package-files",)),
    *_PACKAGE[1:],
    Check("study", "lock → variant", _of_run(inputs.check_study, (LOCK_FILE, RUN_FILE), LOCK_FILE),
          ("package-files",)),
    Check("run-name", "variant, corpus, code → run", _of_run(inputs.check_run_name, (LOCK_FILE,)),
          ("package-files",)),
    Check("smoke", "parameters → smoke mark", _of_run(inputs.check_smoke, (LOCK_FILE,)), ("package-files",)),
    Check("corpus", "corpus.json → verdict", _of_run(inputs.check_corpus_document, (CORPUS_FILE,)),
          ("package-files",)),
    Check("folds", "split.json → verdict", _of_run(inputs.check_folds, (SPLIT_FILE, CORPUS_FILE), SPLIT_FILE),
          ("package-files",)),
    Check("split", "groups → folds", _of_run(inputs.check_split, _TABLE, SPLIT_FILE), ("folds",)),
    Check("units", "folds → records of fits", _of_run(check_records, _TABLE, SPLIT_FILE), ("package-files",)),
    Check("predictions", "predictions: rows, folds, mean", _of_run(results.check_predictions, _TABLE),
          ("package-files",)),
    Check("metrics", "predictions → metrics", _of_run(results.check_metrics, _TABLE), ("predictions",)),
    Check("rules", "metrics → rules", _of_run(results.check_rules, _TABLE), ("metrics",)),
    Check("verdict", "rules → verdict", _of_run(results.check_verdict, _TABLE), ("rules",)),
    Check("published", "metrics → domain files", _of_run(published.check_published, _TABLE), ("metrics",)),
    Check("package-run", "package → the run given", check_source, ("package-files",)),
    _WITHHELD,
)  # fmt: skip
