# shellcheck shell=bash
# Steps of a check, for tests/run and .ci/run. Each step is announced and timed; after a failed
# step the others still run; skipped and failed steps are listed again at the end.

failed=()
skipped=()
# A step that exits with this status was skipped, and has printed the reason.
readonly SKIPPED=77

# step NAME COMMAND...: runs COMMAND in its own shell, which stops at the first error.
step() {
    local name=$1 start=$SECONDS status=0
    shift
    printf -- '-- %s\n' "$name"
    # Not `if "$@"`: in a condition, `set -e` has no effect inside the command.
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

# finish NAME: lists the skipped and the failed steps; its status is 1 if a step failed.
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
