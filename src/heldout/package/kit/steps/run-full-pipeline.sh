#!/bin/sh
# The whole study on this machine, from raw sources to one file for the lead. A second call goes on where the first
# one was stopped.
# Exit codes: 0 PROMOTE, 1 HOLD (both with a bundle), 2 bad input or a missing prerequisite, 3 refused, 5 some units
# failed, 130 interrupted.
STEP=pipeline

usage() {
    cat <<'USAGE'
usage: run-full-pipeline.sh --ref-dir DIR [--encoders A,B] [--cqs 19,25] [--seeds 0,1] [--out-dir DIR]

  --ref-dir   folder of the raw .yuv sources, at any depth
  --encoders  comma list, or `auto`: those of this kind of machine that really encode here; by default the study's
  --cqs       comma list of quality points; by default the study's
  --seeds     comma list; other seeds than the study's make another variant, and the bundle says so
  --out-dir   where everything is written; `out` beside this script by default
USAGE
}

value() {
    if [ "$#" -lt 2 ] || [ -z "$2" ]; then
        printf '[%s] error: %s needs a value\n' "$STEP" "$1" >&2
        exit 2
    fi
}

while [ "$#" -gt 0 ]; do
    case $1 in
        --ref-dir) value "$@"; REF_DIR=$2; shift 2 ;;
        --encoders) value "$@"; ENCODERS=$2; shift 2 ;;
        --cqs) value "$@"; CQS=$2; shift 2 ;;
        --seeds) value "$@"; SEEDS=$2; shift 2 ;;
        --out-dir) value "$@"; OUT_DIR=$2; shift 2 ;;
        -h | --help) usage; exit 0 ;;
        *) printf '[%s] error: unknown option %s\n' "$STEP" "$1" >&2; usage >&2; exit 2 ;;
    esac
done

# shellcheck source=_kit.sh
. "$(dirname -- "$0")/_kit.sh"
[ -n "${REF_DIR:-}" ] || { usage >&2; fail 2 "--ref-dir is missing"; }
[ -d "$REF_DIR" ] || fail 2 "--ref-dir $REF_DIR is no folder"
export REF_DIR OUT_DIR PHASE_A_DIR BUNDLE_DEST KIT_VENV HELDOUT CORPUS_JSONL FFMPEG
export ENCODERS="${ENCODERS:-}" CQS="${CQS:-}" SEEDS="${SEEDS:-}"

sh "$KIT/01-prereqs.sh"
sh "$KIT/02-generate-corpus.sh"
sh "$KIT/03-train-loso.sh"
verdict=0
sh "$KIT/04-validate.sh" || verdict=$?
[ "$verdict" -le 1 ] || exit "$verdict"
sh "$KIT/05-bundle-results.sh"
say "$([ "$verdict" -eq 0 ] && echo PROMOTE || echo HOLD)"
exit "$verdict"
