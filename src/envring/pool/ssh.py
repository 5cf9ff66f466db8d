# SPDX-License-Identifier: MIT
"""Hosts that are started over ssh, and that end with their caller.

`ssh HOST python3 -m envring.cli serve --stdio` is a host whose only connection is its stdin and
stdout. Here they are one end of a socket pair. Names, keys and jump hosts are ssh's own business.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import socket
import subprocess

from envring.errors import AddressError, InterpreterError, LaunchError
from envring.transport.addresses import Address
from envring.transport.forked import own, starting
from envring.transport.frames import Link
from envring.workers.stderr import StderrPipe

PYTHON = "python3"
_CONNECT_SECONDS = 20  # for a connection to sshd
_END_SECONDS = 2.0  # for ssh to end by itself, once its stdin is closed
_KILL_SECONDS = 1.0
_SHOWN_LINES = 20
_OWN_ERROR = 255  # ssh's exit code if it is not that of the command

# what ssh says -> what to do
_ADDRESS_ADVICE = {
    "Host key verification failed": (
        "ssh does not know this host's key, or knows another one. Connect once by hand and compare "
        "the key"
    ),
    "Permission denied": "No key of yours is accepted there. This must work without a password",
    "Could not resolve hostname": "There is no host of that name",
    "Bad configuration option": "Correct ssh's configuration",
}

# what ssh says of a machine that may be reached a moment later
_MAY_PASS = (
    *("Connection refused", "Connection reset", "timed out", "No route to host"),
    *("Network is unreachable", "kex_exchange_identification"),
)


class SshLink(Link):
    """A connection to a host that ssh runs.

    Attributes:
        may_pass: whether no connection came about, and another attempt may do better.
    """

    def __init__(
        self,
        address: Address,
        sock: socket.socket,
        process: subprocess.Popen[bytes],
        errors: StderrPipe,
    ) -> None:
        """Takes over the socket, ssh's process and its stderr."""
        super().__init__(sock, str(address))
        self._address = address
        self._errors = errors
        self._process = process
        self._owner = os.getpid()
        self._said = ""
        self.may_pass = False

    def close(self) -> None:
        """Closes the socket, with which host and ssh end."""
        if self.closed:
            return
        super().close()
        if os.getpid() == self._owner:  # not in a forked copy of this process
            self._end_process()

    def _end_process(self) -> None:
        for seconds, end in (
            (_END_SECONDS, self._process.terminate),
            (_KILL_SECONDS, self._process.kill),
        ):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
                break
            end()
        self._process.wait()
        self._said = self._errors.drain()
        self._errors.close()

    def _last_words(self) -> str:
        """The end of what ssh and the host wrote to stderr, if ssh is about to end."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_KILL_SECONDS)
            if not self.closed:
                self._said = self._errors.drain()
        return "\n".join(self._said.splitlines()[-_SHOWN_LINES:])

    def explain(self, why: str) -> str:
        """What this end noticed, and what ssh said."""
        said = self._last_words()
        code = self._process.returncode
        if code is None:
            return why
        return f"ssh ended with exit code {code}" + (f": {said}" if said else "")

    def failure(self, error: Exception) -> LaunchError:
        """Why there is no host at the other end. `error`: what this end noticed.

        The type says whether the address, ssh's keys, the interpreter there or something else is
        wrong.
        """
        said, code = self._last_words(), self._process.returncode
        shown = f"\nThe end of its stderr:\n{said}" if said else ""
        by_hand = shlex.join(["ssh", *_destination(self._address), "true"])
        if code == _OWN_ERROR:
            for sign, advice in _ADDRESS_ADVICE.items():
                if sign in said:
                    return AddressError(
                        f"{self._address} cannot be reached. {advice}: {by_hand}{shown}"
                    )
            self.may_pass = any(sign in said for sign in _MAY_PASS)
            return LaunchError(
                f"{self._address} cannot be reached by ssh. See whether this works: "
                f"{by_hand}{shown}"
            )
        python = self._address.options.get("python", PYTHON)
        if code in (126, 127):
            return InterpreterError(
                f"{self._address} has no {python} that can be run. Say where it is: "
                f"{self._address}?python=PATH{shown}"
            )
        if "No module named envring" in said or "No module named 'envring'" in said:
            return InterpreterError(
                f"{python} of {self._address} has no envring. Install it there, "
                f"{python} -m pip install 'envring[cli]', or name another interpreter: "
                f"{self._address}?python=PATH{shown}"
            )
        if code is not None:
            return LaunchError(
                f"`envring serve` on {self._address} ended with exit code {code}.{shown}"
            )
        if isinstance(error, TimeoutError):
            return LaunchError(
                f"{self._address} did not start a host within start_timeout. See how long this "
                f"takes: {by_hand}{shown}"
            )
        return LaunchError(
            f"{self._address} was reached but does not answer as an env host: {error}. Does a "
            f"start-up file of the shell there print something? See: {by_hand}{shown}"
        )


def start(address: Address) -> SshLink:
    """Starts ssh; the connection is ready to be greeted, whatever becomes of it.

    Raises:
        AddressError: there is no program ssh.
    """
    with starting:
        errors = StderrPipe()
        ours, theirs = socket.socketpair()
        argv = [*_ssh(address), _command(address)]
        try:
            process = subprocess.Popen(
                argv,
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=errors.write_end,
                start_new_session=True,  # Ctrl-C is the caller's to hear
            )
        except OSError as error:
            ours.close()
            errors.close()
            raise AddressError(
                f"{address} needs the program ssh, which cannot be started: {error.strerror}. "
                "Install it (Debian: openssh-client)."
            ) from None
        finally:
            theirs.close()
        errors.started()
    errors.relay()
    own(errors)
    return SshLink(address, ours, process, errors)


def _ssh(address: Address) -> list[str]:
    argv = ["ssh", "-T"]
    for option in (
        "BatchMode=yes",
        f"ConnectTimeout={_CONNECT_SECONDS}",
        "ClearAllForwardings=yes",
        "LogLevel=ERROR",
    ):
        argv += ["-o", option]
    return [*argv, *_destination(address)]


def _destination(address: Address) -> list[str]:
    argv = []
    config = address.options.get("ssh_config")
    if config is not None:
        argv += ["-F", os.path.expanduser(config)]
    if address.port:
        argv += ["-p", str(address.port)]
    if address.user:
        argv += ["-l", address.user]
    return [*argv, "--", address.host]


def _command(address: Address) -> str:
    """The command line for the shell there."""
    options = address.options
    words = ["exec", _quoted(options.get("python", PYTHON)), "-m", "envring.cli"]
    words += ["serve", "--stdio", "--quiet"]
    for name in ("launcher", "config"):
        if name in options:
            words += [f"--{name}", _quoted(options[name])]
    if "env" in options:
        words += ["--", _quoted(options["env"])]
    return " ".join(words)


def _quoted(word: str) -> str:
    """A word for the shell, which replaces a ~ at its beginning."""
    return f"~/{shlex.quote(word[2:])}" if word.startswith("~/") else shlex.quote(word)
