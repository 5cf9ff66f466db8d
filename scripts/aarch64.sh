#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Tries the C core and the wheel for aarch64 on another machine, in qemu: make test-aarch64.
#
# Emulation shows that the code is right for that processor's types, system calls and Python. It
# does not show its memory order: csrc/README.md argues that.
#
# The wheel for CPython 3.11 must lie in dist/ (make wheels); Debian's arm64 Python 3.11 and the
# packages for it are unpacked into build/aarch64. Nothing is installed on this machine.
set -euo pipefail
cd "$(dirname "$0")/.."

python=.venv-wheels/bin/python
root=$PWD/build/aarch64/root
site=$root/usr/lib/python3/dist-packages
emulated=$PWD/build/aarch64/python
for program in qemu-aarch64-static mmdebstrap; do
    command -v $program >/dev/null || {
        echo "error: there is no $program (Debian: apt-get install qemu-user-static mmdebstrap)" >&2
        exit 1
    }
done
wheel=$(ls dist/envring-*-cp311-*manylinux*_aarch64.whl 2>/dev/null) || {
    echo "error: there is no wheel for it: make wheels ARGS='--only aarch64 --only gnu --only 3.11'" >&2
    exit 1
}

echo "== C tests"
CC="$python -m ziglang cc -target aarch64-linux-musl -static" ER_BUILD=$PWD/build/aarch64 \
    ER_RUNNER=qemu-aarch64-static ER_SECONDS=300 tests/c/run.sh plain

if [ ! -e "$root/.made" ]; then
    rm -rf "$root"
    mmdebstrap --quiet --variant=extract --architectures=arm64 \
        --include=python3,libstdc++6 bookworm "$root" http://deb.debian.org/debian
    # binaries for aarch64, of the releases that lock.txt names
    platforms=(--platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64
        --platform manylinux2014_aarch64)
    "$python" -m pip install --quiet --target "$site" "${platforms[@]}" --python-version 3.11 \
        --implementation cp --abi cp311 --only-binary=:all: --constraint requirements/lock.txt \
        click cloudpickle gymnasium hypothesis numpy posix_ipc pytest pytest-benchmark pytest-xdist
    touch "$root/.made"
fi
rm -rf "$site"/envring "$site"/envring-*
"$python" -m zipfile -e "$wheel" "$site"

# The kernel cannot start such programs by itself, so a script does, and Python starts that script.
cat >"$emulated" <<END
#!/bin/sh
exec qemu-aarch64-static -L "$root" "$root/usr/bin/python3.11" "\$@"
END
chmod +x "$emulated"
rm -f "$root/usr/lib/python3.11/sitecustomize.py"
echo "import sys; sys.executable = sys._base_executable = '$emulated'" >"$site/sitecustomize.py"

tree=$(ls -d build/wheels/envring-*/ | head -n 1)
cd "$tree"
test="$emulated -m pytest -q -p no:cacheprovider -o faulthandler_timeout=600"
echo "== tests/unit"
$test --ignore tests/unit/test_pins.py tests/unit
echo "== conformance: TestCompiledInWorkers"
$test tests/conformance/test_ring.py -k TestCompiledInWorkers
echo "== an interpreter that is started"
"$emulated" - <<'END'
import sys

import gymnasium
import numpy

import envring


def play(envs):
    seen = [envs.reset(seed=7)[0]]
    for t in range(60):
        seen.append(envs.step(numpy.array([t % 2, t // 3 % 2, 1, 0]))[0])
    envs.close()
    return numpy.array(seen)


other = envring.Python(sys.executable)
ours = play(envring.make_vec("CartPole-v1", 4, num_workers=2, launcher=other))
theirs = play(gymnasium.make_vec("CartPole-v1", 4, vectorization_mode="sync"))
assert (ours == theirs).all()
print("equal to SyncVectorEnv")
END
