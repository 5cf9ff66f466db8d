#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Runs the targets of libFuzzer and says how many inputs each has tried: run.sh [target ...]
#
# SECONDS_EACH (60) for each. What they begin with is in tests/c/corpus; what they find is kept in
# build/fuzz/TARGET, and an input that breaks something is named and kept there. PYTHON is for the
# decoder, which is in an extension module; without it that target is left out.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
build=$root/build/fuzz
corpus=$root/tests/c/corpus
: "${CLANG:=clang}" "${SECONDS_EACH:=60}" "${PYTHON:=}"

runtime=$("$CLANG" --print-file-name=libclang_rt.fuzzer_no_main-x86_64.a 2>/dev/null || true)
case $runtime in
/*) ;;
*) runtime=$("$CLANG" --print-resource-dir 2>/dev/null || true)/lib/linux/libclang_rt.fuzzer_no_main-$(uname -m).a ;;
esac
if [ ! -f "$runtime" ]; then
    echo "error: the targets in C need clang with libFuzzer (Debian: apt-get install clang)" >&2
    exit 1
fi

targets=${*:-attach ring batch codec}
# without er_park_linux.c: nothing here sleeps, or it brings a fake
core="$root/csrc/er_batch.c $root/csrc/er_doorbell.c $root/csrc/er_ready.c $root/csrc/er_ring.c
    $root/csrc/er_segment.c"
flags="-std=c11 -Wall -Wextra -Werror -g -O1 -D_GNU_SOURCE= -I$root/csrc -I$root/tests/c"
checks=-fsanitize=address,undefined,fuzzer
mkdir -p "$build"

# an extension module whose branches are seen, and libFuzzer as a library that Python loads
build_codec() {
    (cd "$root" && CC="$CLANG" LDSHARED="$CLANG -shared" CFLAGS=-fsanitize=fuzzer-no-link \
        "$PYTHON" setup.py -q build_ext --build-lib "$build/lib" --build-temp "$build/temp")
    include=$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_paths()["include"])')
    $CLANG -g -O1 -fPIC -shared -Wall -Wextra -Werror -I"$include" -o "$build/codec.so" "$here/codec.c" \
        -Wl,--whole-archive "$runtime" -Wl,--no-whole-archive -lstdc++ -lm -lpthread
}

status=0
for target in $targets; do
    found=$build/$target
    mkdir -p "$found"
    options="-max_total_time=$SECONDS_EACH -print_final_stats=1 -artifact_prefix=$found. -timeout=20 -max_len=200"
    case $target in
    codec)
        if [ -z "$PYTHON" ]; then
            echo "codec: left out, it needs PYTHON"
            continue
        fi
        build_codec
        run="$PYTHON $here/codec.py $(echo "$build"/lib/envring/core/_core.*.so) $build/codec.so"
        ;;
    *)
        # shellcheck disable=SC2086
        case $target in
        batch) sources=$core ;;
        *) sources="$root/csrc/er_$([ "$target" = attach ] && echo segment || echo ring).c" ;;
        esac
        $CLANG $flags $checks -o "$build/$target.bin" "$here/$target.c" $sources
        run=$build/$target.bin
        ;;
    esac
    # shellcheck disable=SC2086
    if $run $options "$found" "$corpus/$target" >"$found.log" 2>&1; then
        count=$(sed -n 's/^stat::number_of_executed_units: *//p' "$found.log")
        echo "$target: $count inputs in $SECONDS_EACH s, none of which broke anything"
    else
        echo "$target: FAILED, see $found.log" >&2
        tail -n 30 "$found.log" >&2
        status=1
    fi
done
exit $status
