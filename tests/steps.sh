# shellcheck shell=bash
# Steps of a check, for tests/run and .ci/run: each is timed and announced, a failing one does
# not hide those after it, and what was left out is told again at the end.

failed=()
skipped=()
# A step that exits with this was skipped, and has said why.
readonly SKIPPED=77

# step NAME COMMAND...: runs it in a shell of its own that stops at the first error.
step() {
    local name=$1 start=$SECONDS status=0
    shift
    printf -- '-- %s\n' "$name"
    # Not `if "$@"`: a condition would switch `set -e` off inside.
    set +e
    (set -e; "$@")
    status=$?
    set -e
    case $status in
        0) printf -- '-- %s: ok (%d s)\n\n' "$name" $((SECONDS - start)) ;;
        "$SKIPPED")
            skipped+=("$name")
            printf -- '-- %s: SKIPPED\n\n' "$name" ;;
        *)
            failed+=("$name")
            printf -- '-- %s: FAILED with %d (%d s)\n\n' "$name" "$status" $((SECONDS - start)) ;;
    esac
}

# finish NAME: tells what was skipped and what failed; its status is that of the whole.
finish() {
    local name=$1 each
    for each in "${skipped[@]}"; do printf '%s: SKIPPED: %s\n' "$name" "$each"; done
    for each in "${failed[@]}"; do printf '%s: FAILED: %s\n' "$name" "$each"; done
    if ((${#failed[@]} > 0)); then
        printf '%s: %d failed\n' "$name" "${#failed[@]}"
        return 1
    fi
    printf '%s: all passed\n' "$name"
}
