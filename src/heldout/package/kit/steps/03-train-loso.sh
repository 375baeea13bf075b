#!/bin/sh
# Trains every seed with every group held out, for every variant that the verdict needs; goes on where it was stopped.
# What became of each seed stands in logs/seed<N>_<UTC>.log, a file a start.
# Exit codes: 0 trained and judged, 2 bad input, 5 some fits failed, 130 interrupted.
STEP=loso
# shellcheck source=_kit.sh
. "$(dirname -- "$0")/_kit.sh"
need_heldout

if [ -n "${CORPUS_JSONL:-}" ]; then
    [ -f "$CORPUS_JSONL" ] || fail 2 "CORPUS_JSONL=$CORPUS_JSONL is no file"
    source=$STUDY
    [ -f "$source" ] || source=$KIT/study.yaml
    set -- "$source" --out "$STUDY" --corpus "$CORPUS_JSONL"
    [ -z "${SEEDS:-}" ] || set -- "$@" --seeds "$SEEDS"
    "$HELDOUT" kit study "$@"
fi
need_study

for variant in $KIT_VARIANTS; do
    say "variant $variant"
    code=0
    # shellcheck disable=SC2046 # two words, or none
    "$HELDOUT" run "$STUDY" --variant "$variant" --runs "$RUNS" --logs "$OUT_DIR/logs" $(workers) || code=$?
    [ "$code" -ne 5 ] || fail 5 "fits failed: run this step again"
    [ "$code" -le 1 ] || exit "$code" # a HOLD is a result, and the next step tells it
done
