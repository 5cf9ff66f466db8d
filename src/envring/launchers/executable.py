# SPDX-License-Identifier: MIT
"""Checks whether a file can run here, with clearer errors than the kernel's."""

from __future__ import annotations

import os
import struct

from envring.errors import InterpreterError

_MACHINES = {
    3: "x86",
    8: "mips",
    20: "ppc",
    21: "ppc64",
    22: "s390x",
    40: "arm",
    62: "x86_64",
    183: "aarch64",
    243: "riscv64",
    258: "loongarch64",
}
_ALSO_RUNS = {62: (3,), 183: (40,)}  # 32-bit programs, which most kernels of that machine run
_MACH_O = (b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xca\xfe\xba\xbe")
_PT_INTERP = 3


def check(path: str, name: str) -> None:
    """Checks that a file exists, may be executed, and is a program for this machine.

    Args:
        path: absolute path of the program.
        name: what to call it in an error: "The interpreter /x/bin/python of prefix /x".

    Raises:
        InterpreterError: it cannot run here; the message gives the reason.
    """
    if not os.path.exists(path):
        if os.path.islink(path):
            raise InterpreterError(
                f"{name} is a symbolic link to {os.readlink(path)}, which does not exist. The "
                "interpreter that it was made from is gone: create the environment again."
            )
        raise InterpreterError(f"{name} does not exist. Check the path.")
    if os.path.isdir(path):
        raise InterpreterError(f"{name} is a directory, not an interpreter.")
    if not os.path.isfile(path):
        raise InterpreterError(f"{name} is not a regular file.")
    if not os.access(path, os.X_OK):
        raise InterpreterError(
            f"{name} is not executable for this user (mode {os.stat(path).st_mode & 0o7777:04o}). "
            f"If it is an interpreter: chmod +x {path}"
        )
    try:
        with open(path, "rb") as file:
            head = file.read(4096)
    except OSError:
        return  # executable but not readable: the kernel will tell
    _check_format(name, head)


def _check_format(name: str, head: bytes) -> None:
    if head.startswith(b"\x7fELF"):
        _check_elf(name, head)
    elif head.startswith(b"#!"):
        words = head[2:].split(b"\n", 1)[0].split()
        program = os.fsdecode(words[0]) if words else ""
        if not os.path.exists(program):
            raise InterpreterError(
                f"{name} is a script for {program or 'no program'}, which does not exist."
            )
    elif not head:
        raise InterpreterError(f"{name} is an empty file.")
    elif head.startswith(b"MZ"):
        raise InterpreterError(f"{name} is a program for Windows.")
    elif head.startswith(_MACH_O):
        raise InterpreterError(f"{name} is a program for macOS.")
    else:
        raise InterpreterError(
            f"{name} is neither a program nor a script: it begins with {head[:16]!r}."
        )


def _check_elf(name: str, head: bytes) -> None:
    with open("/proc/self/exe", "rb") as file:
        ours = file.read(20)
    machine, our_machine = _machine(head), _machine(ours)
    if machine != our_machine and machine not in _ALSO_RUNS.get(our_machine, ()):
        theirs = _MACHINES.get(machine, f"machine type {machine}")
        if not os.path.exists(f"/proc/sys/fs/binfmt_misc/qemu-{theirs}"):
            raise InterpreterError(
                f"{name} is built for {theirs}, but this machine is "
                f"{_MACHINES.get(our_machine, our_machine)}. "
                "Create the environment on this machine."
            )
        return
    loader = _loader(head)
    if loader is not None and not os.path.exists(loader):
        raise InterpreterError(
            f"{name} needs the loader {loader}, which does not exist: it was built for another C "
            "library or another distribution. Create the environment on this machine."
        )


def _order(head: bytes) -> str:
    return ">" if head[5:6] == b"\x02" else "<"


def _machine(head: bytes) -> int:
    if len(head) < 20:
        return 0
    return int(struct.unpack_from(_order(head) + "H", head, 18)[0])


def _loader(head: bytes) -> str | None:
    """Returns the program that loads it, if the first page names one, as linkers arrange."""
    order = _order(head)
    wide = head[4:5] == b"\x02"
    try:
        start = struct.unpack_from(order + ("Q" if wide else "I"), head, 32 if wide else 28)[0]
        size, count = struct.unpack_from(order + "HH", head, 54 if wide else 42)
        for number in range(count):
            at = start + number * size
            if struct.unpack_from(order + "I", head, at)[0] != _PT_INTERP:
                continue
            if wide:
                offset, length = struct.unpack_from(order + "Q16xQ", head, at + 8)
            else:
                offset, length = struct.unpack_from(order + "I8xI", head, at + 4)
            text = head[offset : offset + length]
            return os.fsdecode(text.rstrip(b"\0")) if 0 < length == len(text) else None
    except struct.error:
        pass
    return None
