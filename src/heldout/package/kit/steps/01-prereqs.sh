#!/bin/sh
# Checks the kit's own files, installs heldout beside them, and asks whether the whole study can run here.
# Exit codes: 0 ready, 2 something is missing (each finding says how to mend it), 3 the kit was changed.
STEP=prereqs
# shellcheck source=_kit.sh
. "$(dirname -- "$0")/_kit.sh"

find_python() {
    for each in ${KIT_PYTHON:-} "python$KIT_BUILT_WITH" python3.13 python3.12 python3.11 python3; do
        if "$each" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s' "$each"
            return
        fi
    done
}

install_heldout() {
    target=$("$PYTHON" "$KIT/check_kit.py" --target)
    list=$KIT/requirements/$target.txt
    [ -f "$list" ] || list=$KIT/requirements/any.txt
    say "installing into $KIT_VENV from ${list##*/}"
    rm -f -- "$KIT_VENV/.kit"
    "$PYTHON" -m venv --clear "$KIT_VENV" || fail 2 "$PYTHON cannot make a virtual environment: install its venv module"
    set -- --no-deps --disable-pip-version-check --quiet
    [ ! -d "$KIT/wheelhouse" ] || set -- "$@" --no-index --find-links "$KIT/wheelhouse"
    if grep -q -- '--hash=' "$list"; then
        "$KIT_VENV/bin/python" -m pip install "$@" --require-hashes -r "$list" || fail 2 "pip could not install $list"
    elif [ "${KIT_REQUIRE_HASHES:-0}" = 1 ]; then
        fail 2 "${list##*/} has no digests, and KIT_REQUIRE_HASHES=1 asks for them"
    else
        "$KIT_VENV/bin/python" -m pip install "$@" -r "$list" || fail 2 "pip could not install $list"
    fi
    "$KIT_VENV/bin/python" -m pip install "$@" "$KIT"/dist/*.whl || fail 2 "pip could not install heldout"
    "$PYTHON" "$KIT/check_kit.py" --digest > "$KIT_VENV/.kit.partial"
    mv -- "$KIT_VENV/.kit.partial" "$KIT_VENV/.kit"
}

PYTHON=$(find_python)
[ -n "$PYTHON" ] || fail 2 "there is no Python 3.11 or newer with venv: install one, or name it in KIT_PYTHON"
"$PYTHON" "$KIT/check_kit.py" || exit 3

if [ "$HELDOUT" = "$KIT_VENV/bin/heldout" ]; then
    if [ "$(cat "$KIT_VENV/.kit" 2>/dev/null)" = "$("$PYTHON" "$KIT/check_kit.py" --digest)" ]; then
        say "heldout is installed already"
    else
        install_heldout
    fi
fi
need_heldout

set -- "$KIT/study.yaml" --out-dir "$OUT_DIR"
[ -z "${REF_DIR:-}" ] || set -- "$@" --ref-dir "$REF_DIR"
[ -z "${ENCODERS:-}" ] || set -- "$@" --encoders "$ENCODERS"
[ -z "${CQS:-}" ] || set -- "$@" --cqs "$CQS"
[ -z "${FFMPEG:-}" ] || set -- "$@" --ffmpeg "$FFMPEG"
[ -z "${LIBVMAF_BIN:-}" ] || say "LIBVMAF_BIN is not used: FFmpeg scores with its own libvmaf; FFMPEG names another FFmpeg"
"$HELDOUT" doctor "$@"
