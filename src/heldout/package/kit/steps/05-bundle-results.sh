#!/bin/sh
# Exports the members if the verdict is PROMOTE, and packs everything that the lead needs into one file.
# Exit codes: 0 packed, whatever the verdict is; 2 bad input; 3 refused. An export that fails is an error.
STEP=bundle
# shellcheck source=_kit.sh
. "$(dirname -- "$0")/_kit.sh"
need_heldout
need_study

code=0
"$HELDOUT" kit verdict "$STUDY" --variant "$KIT_VARIANT" --runs "$RUNS" --exportable || code=$?
if [ "$code" -eq 0 ]; then
    say "exporting"
    "$HELDOUT" video export "$STUDY" --variant "$KIT_VARIANT" --runs "$RUNS"
elif [ "$code" -ne 1 ]; then
    exit "$code"
fi

set -- "$STUDY" --variant "$KIT_VARIANT" --runs "$RUNS" --kit "$KIT" --out "$BUNDLE_DEST"
[ "${KIT_WITHOUT_CORPUS:-0}" = 0 ] || set -- "$@" --without-corpus
"$HELDOUT" kit bundle "$@"
