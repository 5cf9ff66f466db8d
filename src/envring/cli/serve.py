# SPDX-License-Identifier: MIT
"""`envring serve`: a host on the command line."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import click

from envring.cli.certificates import cert
from envring.cli.lines import Lines, LinesHandler
from envring.errors import AddressError
from envring.gateways.host import Host
from envring.gateways.runtimes import OpenRuntime
from envring.gateways.serving import serve as start
from envring.gateways.stdio import take_stdio
from envring.launchers.registry import resolve
from envring.transport.addresses import OF_OTHERS, read_key
from envring.transport.frames import Link

LISTEN = "tcp://127.0.0.1:7777"
_GREETING_SECONDS = 3600.0  # for a caller over ssh, which may start other hosts first


class _Serve(click.Command):
    """`envring serve cert ...` makes certificates; everything else serves."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        if args[:1] == ["cert"]:
            return cert.make_context(f"{info_name} cert", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


@click.command(cls=_Serve)
@click.argument("env", required=False)
@click.option("--listen", multiple=True, metavar="URL", help=f"Where to listen; {LISTEN}.")
@click.option("--connect", multiple=True, metavar="URL", help="Dial a caller that waits for hosts.")
@click.option("--num-envs", type=click.IntRange(1), help="The most envs at a time, of all callers.")
@click.option("--launcher", help="Interpreter of the workers, such as prefix:PATH.")
@click.option("--config", type=click.Path(dir_okay=False), help="A serve.toml with runtimes.")
@click.option("--key", "keys", multiple=True, metavar="WHERE", help="file:PATH or env:NAME.")
@click.option("--cert", type=click.Path(dir_okay=False), help="Certificate for tls://.")
@click.option("--certkey", type=click.Path(dir_okay=False), help="Its key.")
@click.option("--client-ca", type=click.Path(dir_okay=False), help="Callers must show one of it.")
@click.option("--insecure", is_flag=True, help="Serve other machines without TLS.")
@click.option("--grace", type=float, default=30.0, help="Seconds a cut-off session is kept.")
@click.option("--idle-timeout", type=float, help="Seconds until an idle session is closed.")
@click.option("--first-step-timeout", type=float, help="The same before its first step.")
@click.option("--drain", type=float, default=30.0, help="Seconds for sessions after SIGTERM.")
@click.option("--max-sessions", type=click.IntRange(1), default=256, help="At a time.")
@click.option("--max-connections", type=click.IntRange(1), default=256, help="Of one address.")
@click.option("--max-frame", type=click.IntRange(1 << 16), default=1 << 26, help="In bytes.")
@click.option("--stdio", is_flag=True, help="Serve the one caller that stdin and stdout lead to.")
@click.option("--metrics", metavar="PORT|URL", help="Answer /healthz and /metrics there.")
@click.option("--ready-fd", type=int, help="Gets the addresses, one a line; last --metrics.")
@click.option("--ready-file", type=click.Path(), help="File that gets them.")
@click.option("-q", "--quiet", is_flag=True, help="Print and log only what went wrong.")
def serve(
    env: str | None,
    listen: Sequence[str],
    connect: Sequence[str],
    keys: Sequence[str],
    drain: float,
    stdio: bool,
    ready_fd: int | None,
    ready_file: str | None,
    quiet: bool,
    **options: Any,
) -> None:
    """Serves ENV, an id such as CartPole-v1, or what --config lists, to other processes.

    ENV may also be module:callable, file.py:attr, dir:PATH or recipe:NAME. Only this machine can
    reach it, unless --listen says tls://, or tcp:// with --insecure. With --stdio, which ssh://
    uses, the caller may have any env unless ENV or --config says which. `envring serve cert` makes
    certificates for tls://.
    """
    if stdio and (listen or connect or ready_fd is not None or ready_file):
        raise click.UsageError(
            "--stdio listens nowhere: leave out --listen, --connect and --ready."
        )
    if stdio and sys.stdin.isatty():
        raise click.UsageError("--stdio is for programs: stdin is a terminal.")
    with _logged(quiet):
        options["keys"] = [read_key(key) for key in keys]
        if stdio:
            _serve_stdio(env, options)
            return
        if env is None and options["config"] is None:
            raise click.UsageError("Name an ENV or give --config.")
        listen = listen or (() if connect else (LISTEN,))
        host = start(env, listen=listen, connect=connect, drain=drain, **options)
        with _closing_on_signals(host, drain):
            if not quiet:
                _announce(host, env, bool(keys))
            _tell(host, ready_fd, ready_file)
            host.wait()


@contextmanager
def _logged(quiet: bool) -> Iterator[None]:
    """Logs to stderr, whether anybody reads that or not."""
    lines = Lines(2)
    logging.basicConfig(
        level=logging.WARNING if quiet else logging.INFO,
        format="%(asctime)s %(message)s",
        handlers=[LinesHandler(lines)],
    )
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        lines.close()


def _serve_stdio(env: str | None, options: dict[str, Any]) -> None:
    with take_stdio() as sock:
        if env is None and options["config"] is None:
            where = resolve(options.pop("launcher"))
            options["runtimes"] = [OpenRuntime("default", ("*",), where)]
        host = start(env, listen=(), handshake_timeout=_GREETING_SECONDS, **options)
        with _closing_on_signals(host, 0.0):
            link = Link(sock, "the caller")
            threading.Thread(target=_serve_and_close, args=(host, link), daemon=True).start()
            host.wait()  # in the thread that signals wake


def _serve_and_close(host: Host, link: Link) -> None:
    try:
        host.serve(link)
    finally:
        host.close()


def _announce(host: Host, env: str | None, with_key: bool) -> None:
    """Says where the host is; to nobody if stdout is not read."""
    try:
        lines = Lines(sys.stdout.fileno())
    except OSError:  # stdout is not a file
        _show(host, env, with_key, click.echo)
        return
    try:
        _show(host, env, with_key, lines.put)
    finally:
        lines.close()


def _show(host: Host, env: str | None, with_key: bool, show: Callable[[str], Any]) -> None:
    ask = "?key=file:PATH" if with_key else ""
    ours = [url for url in host.urls if url.partition("://")[0] not in OF_OTHERS]
    for url in host.urls:
        show(f'remotes="{url}{ask}"' if url in ours else f"other projects' clients: {url}")
    if host.metrics is not None:
        show(f"{host.metrics.url}/metrics and /healthz")
    if not ours:
        return
    name = env or "ENV_ID"
    show(f'envring.make_vec("{name}", num_envs=8, remotes="{ours[0]}{ask}")')
    if ours[0].startswith("tcp://127."):
        port = ours[0].rpartition(":")[2]
        show(f"From elsewhere: ssh -L {port}:127.0.0.1:{port} {os.uname().nodename}")


def _tell(host: Host, fd: int | None, path: str | None) -> None:
    """Tells scripts that the host listens."""
    urls = host.urls if host.metrics is None else [*host.urls, host.metrics.url]
    text = "".join(f"{url}\n" for url in urls)
    try:
        if path is not None:
            with open(f"{path}.part", "w") as file:
                file.write(text)
            os.replace(f"{path}.part", path)  # whoever waits for it finds all of it
        if fd is not None:
            with open(fd, "w") as file:
                file.write(text)
    except OSError as error:
        raise AddressError(f"--ready: {error}") from None


@contextmanager
def _closing_on_signals(host: Host, drain: float) -> Iterator[None]:
    """SIGTERM drains; Ctrl-C and a second SIGTERM end at once."""
    asked = threading.Event()

    def on_signal(number: int, _: object) -> None:
        seconds = 0.0 if number == signal.SIGINT or asked.is_set() else drain
        again = asked.is_set()
        asked.set()
        if again:
            host.end_now()
        else:
            threading.Thread(target=host.close, args=(seconds,)).start()

    before = {
        number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield
    finally:
        host.close()
        for number, handler in before.items():
            with suppress(TypeError):
                signal.signal(number, handler)
