"""``verify_path``: the whole chain of a run, an evaluation, an export, or of an export and its run, offline."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from heldout.corpus.parts import is_there
from heldout.documents.names import RUN_FILE
from heldout.errors import HeldoutError, InputError, PrerequisiteError
from heldout.evidence import sha256_file
from heldout.verify import corpus_file, exports, files, inputs, published, refit, results, signature, trials, weights
from heldout.verify.asked import LINKS
from heldout.verify.chain import Check, Verification, walk
from heldout.verify.evaluations import evaluation_folder, verify_evaluation
from heldout.verify.evidence import RunEvidence

# What lies in a run is parsed only where its digest is the manifest's.
_WHOLE = ("verdict-file", "files")
_DOCUMENTS = ("verdict-file", "study", "corpus", "folds")
CHAIN = (
    Check("verdict-file", "one verdict", files.check_verdict_file),
    Check("files", "manifest → every file", files.check_files),
    Check("bound", "verdict → manifest", files.check_bound, ("verdict-file",)),
    Check("study", "lock → variant", inputs.check_study, _WHOLE),
    Check("run-name", "variant, corpus, code → run", inputs.check_run_name, ("study",)),
    Check("smoke", "parameters → smoke mark", inputs.check_smoke, ("study",)),
    Check("corpus", "corpus.json → verdict", inputs.check_corpus_document, _WHOLE),
    Check("folds", "split.json → verdict", inputs.check_folds, ("study", "corpus")),
    Check("split", "groups → folds", inputs.check_split, ("folds",)),
    Check("units", "folds → fits", results.check_units, _DOCUMENTS),
    Check("predictions", "fits → predictions", results.check_predictions, ("units",)),
    Check("metrics", "predictions → metrics", results.check_metrics, ("predictions",)),
    Check("rules", "metrics → rules", results.check_rules, ("metrics",)),
    Check("verdict", "rules → verdict", results.check_verdict, ("rules",)),
    Check("published", "metrics → domain files", published.check_published, ("metrics",)),
    Check("corpus-file", "corpus file → rows", corpus_file.check_corpus_file, ("predictions",)),
    Check("guards", "corpus → findings", corpus_file.check_guards, ("corpus",)),
    Check("weights", "models → predictions", weights.check_weights, ("corpus-file",)),
    Check("ledger", "look → trial ledger", trials.check_ledger, ("verdict-file", "study")),
    Check("code", "sources", inputs.check_code, ("verdict-file",)),
)


# Without these an export by itself was not checked at all.
# Without these nobody knows whether the verdict follows from what was predicted.
_ALWAYS = ("metrics", "rules", "verdict")
_OF_AN_EXPORT = ("export", "export-graphs", "export-parity")


def verify_path(
    path: str | Path,
    *,
    run: str | Path | None = None,
    corpus: str | Path | None = None,
    key: str | Path | None = None,
    refit_too: bool = False,
    workers: int | None = None,
) -> Verification:
    """Verify whatever a path names: a run, a verdict file, an evaluation, a folder of exports or the manifest of one.

    Args:
        path: What to verify.
        run: The run that an export came from; by default the run directory that it lies in.
        corpus: As for ``verify_run``.
        key: As for ``verify_run``.
        refit_too: As for ``verify_run``.
        workers: As for ``verify_run``.

    Raises:
        InputError: If there is nothing to verify: INVALID.
        PrerequisiteError: If something that was asked for cannot be checked here.
    """
    path = Path(path)
    evaluation = evaluation_folder(path)
    if evaluation is not None:
        if any(asked is not None for asked in (run, corpus, key)) or refit_too:
            what = "--run, --corpus, --key and --refit belong to a run of a study"
            raise InputError(what, where=str(path), hint="an evaluation is verified from its own files")
        return verify_evaluation(evaluation)
    manifests = [] if (path / RUN_FILE).exists() else exports.find_exports(path)
    if not manifests:
        if run is not None:
            raise InputError("there is no export", where=str(path), hint="--run belongs to an export: name its folder")
        return verify_run(path, corpus=corpus, key=key, refit_too=refit_too, workers=workers)
    home = manifests[0].resolve().parent.parent
    known = Path(run) if run is not None else home if (home / RUN_FILE).exists() else None
    if known is not None:
        return verify_run(known, corpus=corpus, key=key, refit_too=refit_too, workers=workers, manifests=manifests)
    if corpus is not None or key is not None or refit_too:
        raise InputError("the run of this export is not known", where=str(path), hint="name it: --run RUN")
    links = tuple(link for each in manifests for link in exports.links_of(each, None))
    found = Verification(manifests[0].parent, None, None, links, _digests(manifests))
    _refuse_unchecked(found, list(_OF_AN_EXPORT))
    return found


def verify_run(
    path: str | Path,
    *,
    corpus: str | Path | None = None,
    key: str | Path | None = None,
    refit_too: bool = False,
    workers: int | None = None,
    manifests: Sequence[Path] | None = None,
    insist: bool = True,
) -> Verification:
    """Recompute everything that a verdict rests on, from the run's files alone. Nothing is written.

    Args:
        path: A run directory, or the verdict file in it.
        corpus: The corpus file, to compare its rows and ask the guards again.
        key: A public Ed25519 key: the verdict must be signed by its holder.
        refit_too: Train every fit again in a temporary folder and compare; needs ``corpus``.
        workers: Processes for the refit.
        manifests: Those of the exports to check with the run; by default all that lie in it.
        insist: Refuse where something that was asked for cannot be checked here; else it is a link NOT CHECKED.

    Returns:
        The chain; ``raise_if_broken`` names the first broken link.

    Raises:
        InputError: If there is no run, no verdict, or its evidence is incomplete: INVALID.
        PrerequisiteError: If something that was asked for cannot be checked here.
    """
    corpus_path = Path(corpus) if corpus is not None else None
    if corpus_path is not None and not is_there(corpus_path):
        raise InputError("the corpus file does not exist", where=str(corpus_path), hint="check --corpus")
    if refit_too and corpus_path is None:
        raise InputError("a refit needs the corpus", where="--refit", hint="give --corpus FILE too")
    public = signature.read_public_key(Path(key)) if key is not None else None
    evidence = RunEvidence.open(Path(path), corpus_path)
    signed = partial(signature.check_signature, key=public)
    chain = [*CHAIN, Check("signature", "key → verdict and files", signed, ("verdict-file",))]
    models = _models(evidence)
    chain += LINKS if models else ()
    asked = ["corpus-file", "guards", *(() if models else ("weights",))] if corpus_path else []
    asked += ["signature"] if key is not None else []
    if refit_too:
        look = partial(refit.check_refit, workers=workers)
        chain.append(Check("refit", "corpus → the same fits", look, ("corpus-file",)))
        asked.append("refit")
    name = evidence.verdict_file.name.removesuffix(".json")
    links = walk(chain, evidence)
    if manifests is None:
        manifests = exports.find_exports(evidence.folder / exports.FOLDER)
        links += exports.links_of_run(evidence)
    else:
        links += tuple(link for each in manifests for link in exports.links_of(each, evidence))
        asked += _OF_AN_EXPORT
    found = Verification(evidence.folder, name, evidence.verdict_sha256, links, _digests(manifests))
    _refuse_unchecked(found, [*_ALWAYS, *(asked if insist else [])])
    return found


def _models(evidence: RunEvidence) -> bool:
    """Whether a run asks models from elsewhere, which may be gone without harm to what they answered."""
    try:
        return bool(evidence.models)
    except (HeldoutError, AttributeError, TypeError, ValueError, RecursionError):
        return False  # a damaged lock is a broken link, and is named as such


def _digests(manifests: Sequence[Path]) -> dict[str, str]:
    return {path.name: sha256_file(path) for path in manifests}


def _refuse_unchecked(found: Verification, asked: list[str]) -> None:
    """What was asked for and could not be looked at must not pass for verified."""
    lacking = [link for link in found.links if link.id in asked and link.state == "NOT CHECKED"]
    if lacking and found.holds:
        always = lacking[0].id in _ALWAYS
        raise PrerequisiteError(
            f"the link {lacking[0].title!r} cannot be checked here: {lacking[0].what}",
            where=str(found.folder),
            hint="install what is missing; of code that you have read, use --trust-code"
            if always
            else "install what is missing, or leave that option out",
        )
