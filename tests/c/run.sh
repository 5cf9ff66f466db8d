#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Builds and runs the C tests: one program per file.
#
#   run.sh [plain|asan|tsan] [--build-only] [program ...]
#
# CC names another compiler, also one for another machine; then ER_RUNNER is what runs its programs,
# for ER_SECONDS (60) at most.
#
# Exit codes of a program: 0 pass, 1 fail, 77 skip. xfail_asan_*.c and xfail_tsan_*.c hold a mistake
# which that sanitizer must report; elsewhere they are skipped.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
core="er_batch er_spread er_doorbell er_park_linux er_ready er_ring er_segment
    er_steploop er_obs er_strided er_infos er_python er_worker er_offsets er_lifeline
    er_stderr er_watch er_link er_flow"
: "${CC:=cc}"

mode=plain
build_only=no
programs=
for argument in "$@"; do
    case $argument in
    plain | asan | tsan) mode=$argument ;;
    --build-only) build_only=yes ;;
    -*) echo "usage: run.sh [plain|asan|tsan] [--build-only] [program ...]" >&2; exit 2 ;;
    *) programs="$programs $(basename "$argument" .c)" ;;
    esac
done
[ -n "$programs" ] || programs=$(cd "$here" && ls ./*.c | sed 's|^\./||; s|\.c$||')

flags="-std=c11 -Wall -Wextra -Werror -g -pthread -I$root/csrc -I$here"
case $mode in
plain) flags="$flags -O2" ;;
asan) flags="$flags -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all" ;;
tsan) flags="$flags -O1 -fsanitize=thread" ;;
esac
build=${ER_BUILD:-$root/build}/c-$mode
mkdir -p "$build"

# An archive, because a program that brings its own er_park.h then leaves er_park_linux.o out.
rm -f "$build/core.a"
for name in $core; do
    $CC $flags -c -o "$build/$name.o" "$root/csrc/$name.c"
    ar rc "$build/core.a" "$build/$name.o"
done
for name in $programs; do
    printf '%s\n' "$name"
done | xargs -P 2 -I "{}" $CC $flags -D_GNU_SOURCE= -o "$build/{}" "$here/{}.c" "$build/core.a"
[ $build_only = no ] || exit 0

# TSan knows where Linux puts things only if addresses are not too random; setarch -R sees to that.
runner=${ER_RUNNER:-}
if [ $mode = tsan ]; then
    printf 'int main(void) { return 0; }\n' >"$build/probe.c"
    $CC $flags -o "$build/probe" "$build/probe.c"
    if ! "$build/probe" >/dev/null 2>&1; then
        runner="setarch -R"
        if ! $runner "$build/probe" >/dev/null 2>&1; then
            echo "tsan: programs do not even start here, with or without setarch -R" >&2
            exit 77
        fi
    fi
fi

passed=0
failed=0
skipped=0
for name in $programs; do
    log=$build/$name.log
    report=
    case $name in
    xfail_asan_*) report="ERROR: AddressSanitizer|runtime error:" wanted=asan ;;
    xfail_tsan_*) report="WARNING: ThreadSanitizer: data race" wanted=tsan ;;
    esac
    code=0
    if [ -n "$report" ] && [ $wanted != $mode ]; then
        code=77
        : >"$log"
    else
        timeout -k 5 ${ER_SECONDS:-60} $runner "$build/$name" >"$log" 2>&1 || code=$?
        if [ -n "$report" ]; then
            if [ $code -ne 0 ] && grep -Eq "$report" "$log"; then
                code=0
            else
                echo "the sanitizer found nothing (exit code $code)" >>"$log"
                code=1
            fi
        fi
    fi
    case $code in
    0) passed=$((passed + 1)); echo "pass  $name" ;;
    77) skipped=$((skipped + 1)); echo "skip  $name" ;;
    *)
        failed=$((failed + 1))
        echo "FAIL  $name (exit code $code)"
        sed 's/^/      /' "$log"
        ;;
    esac
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]
