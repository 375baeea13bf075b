#!/bin/sh
# Encodes and scores every source of REF_DIR, at any depth; goes on where it was stopped.
# Exit codes: 0 complete, 2 bad input or a cell failed, 130 interrupted.
STEP=corpus
# shellcheck source=_kit.sh
. "$(dirname -- "$0")/_kit.sh"
need_heldout

[ -n "${REF_DIR:-}" ] || fail 2 "REF_DIR is not set: the folder of the raw sources"
[ -d "$REF_DIR" ] || fail 2 "REF_DIR=$REF_DIR is no folder"
set -- "$KIT/study.yaml" --ref-dir "$REF_DIR" --out "$STUDY" --corpus "$PHASE_A_DIR/per_frame_canonical6.jsonl"
[ -z "${ENCODERS:-}" ] || set -- "$@" --encoders "$ENCODERS"
[ -z "${CQS:-}" ] || set -- "$@" --cqs "$CQS"
[ -z "${SEEDS:-}" ] || set -- "$@" --seeds "$SEEDS"
[ -z "${WIDTH:-}" ] || set -- "$@" --width "$WIDTH"
[ -z "${HEIGHT:-}" ] || set -- "$@" --height "$HEIGHT"
[ -z "${PIX_FMT:-}" ] || set -- "$@" --pix-fmt "$PIX_FMT"
[ -z "${FRAMERATE:-}" ] || set -- "$@" --fps "$FRAMERATE"
[ -z "${FFMPEG:-}" ] || set -- "$@" --ffmpeg "$FFMPEG"
"$HELDOUT" kit study "$@"

say "encoding into $PHASE_A_DIR"
set -- "$STUDY" --out "$PHASE_A_DIR"
[ -z "${FFMPEG:-}" ] || set -- "$@" --ffmpeg "$FFMPEG"
# shellcheck disable=SC2046 # two words, or none
"$HELDOUT" video encode "$@" $(workers)
