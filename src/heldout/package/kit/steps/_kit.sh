# shellcheck shell=sh
# Read by every step: where things lie, and how the steps speak. Every value can be set from outside.
set -eu

KIT=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
# shellcheck source=/dev/null
. "$KIT/kit.env"

# A step works in OUT_DIR; what the caller named from another folder must still be found.
absolute() {
    case $1 in
        '' | /*) printf '%s' "$1" ;;
        *) printf '%s/%s' "$PWD" "$1" ;;
    esac
}

OUT_DIR=$(absolute "${OUT_DIR:-$KIT/out}")
PHASE_A_DIR=$(absolute "${PHASE_A_DIR:-$OUT_DIR/corpus}")
BUNDLE_DEST=$(absolute "${BUNDLE_DEST:-$OUT_DIR}")
KIT_VENV=$(absolute "${KIT_VENV:-$KIT/.venv}")
HELDOUT=$(absolute "${HELDOUT:-$KIT_VENV/bin/heldout}")
REF_DIR=$(absolute "${REF_DIR:-}")
CORPUS_JSONL=$(absolute "${CORPUS_JSONL:-}")
FFMPEG=$(absolute "${FFMPEG:-}")
export STUDY="$OUT_DIR/study.yaml" RUNS="$OUT_DIR/runs"
mkdir -p -- "$OUT_DIR"
[ ! -d "$KIT/code" ] || cp -R -- "$KIT/code/." "$OUT_DIR" # a study finds its own code beside it

say() {
    printf '[%s] %s\n' "$STEP" "$*"
}

fail() {
    code=$1
    shift
    printf '[%s] error: %s\n' "$STEP" "$*" >&2
    exit "$code"
}

need_heldout() {
    [ -x "$HELDOUT" ] || fail 2 "heldout is not installed yet: run 01-prereqs.sh first"
    # What is written names paths relative to the folder that we are in, never those of this machine.
    cd -- "$OUT_DIR"
}

need_study() {
    [ -f "$STUDY" ] || fail 2 "there is no $STUDY: run 02-generate-corpus.sh first"
}

workers() {
    [ -z "${KIT_WORKERS:-}" ] || printf '%s %s' --workers "$KIT_WORKERS"
}
