#!/bin/sh
# Recomputes every link of the evidence, and tells the verdict.
# Exit codes: 0 PROMOTE, 1 HOLD, 2 there is no verdict, 3 the evidence does not hold.
STEP=validate
# shellcheck source=_kit.sh
. "$(dirname -- "$0")/_kit.sh"
need_heldout
need_study

code=0
for variant in $KIT_VARIANTS; do
    say "variant $variant"
    code=0
    "$HELDOUT" kit verdict "$STUDY" --variant "$variant" --runs "$RUNS" || code=$?
    [ "$code" -le 1 ] || exit "$code"
done
exit "$code"
