# SPDX-License-Identifier: MIT
"""Stdin and stdout as the connection to the one caller of a host."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import threading

_CHUNK = 1 << 18


def take_stdio() -> socket.socket:
    """The connection that descriptors 0 and 1 are; 0 becomes /dev/null, and 1 what 2 is.

    So nothing that is printed, here or by a worker, gets between the frames.
    """
    incoming, outgoing = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    try:
        os.fstat(2)
    except OSError:
        os.dup2(nothing, 2)
    os.dup2(2, 1)
    if nothing > 2:
        os.close(nothing)
    if _are_one_socket(incoming, outgoing):  # as sshd has it
        os.close(outgoing)
        return socket.socket(fileno=incoming)
    ours, theirs = socket.socketpair()
    for run, fd in ((_bring, incoming), (_take, outgoing)):
        # the end of this process waits for answers that are on their way, not for requests
        daemon = run is _bring
        threading.Thread(target=run, args=(fd, theirs), name="envring-stdio", daemon=daemon).start()
    return ours


def _are_one_socket(incoming: int, outgoing: int) -> bool:
    one, other = os.fstat(incoming), os.fstat(outgoing)
    return stat.S_ISSOCK(one.st_mode) and os.path.samestat(one, other)


def _bring(fd: int, sock: socket.socket) -> None:
    try:
        while data := os.read(fd, _CHUNK):
            sock.sendall(data)
    except OSError:
        pass  # the session is over
    finally:
        _shut_down(sock, socket.SHUT_WR)


def _take(fd: int, sock: socket.socket) -> None:
    try:
        while data := memoryview(sock.recv(_CHUNK)):
            while data:
                data = data[os.write(fd, data) :]
    except OSError:
        pass  # the caller is gone
    finally:
        _shut_down(sock, socket.SHUT_RD)
        os.close(fd)


def _shut_down(sock: socket.socket, how: int) -> None:
    with contextlib.suppress(OSError):  # the other end is closed
        sock.shutdown(how)
