# SPDX-License-Identifier: MIT
"""`envring cluster`: long-lived env hosts on the nodes of a cluster."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from envring.cluster import groups
from envring.cluster.engine import Engine, connect
from envring.errors import EnvringError, LaunchError
from envring.gateways.runtimes import Runtime, Runtimes, load
from envring.launchers.registry import resolve
from envring.transport.addresses import Address, read_key

_NAME = "envring"
_ASK_SECONDS = 5.0  # for a server to say what it does
_RATE_SECONDS = 0.5  # over which rates are measured


@click.group()
def cluster() -> None:
    """Env hosts on the nodes of a cluster, such as Ray's."""


def _common(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--engine", default="ray", show_default=True, help="What runs the cluster."),
        click.option(
            "--address", default="auto", help="Of the cluster, as `ray start` prints it; auto."
        ),
        click.option("--name", default=_NAME, show_default=True, help="Of the group of hosts."),
    ):
        command = option(command)
    return command


@contextlib.contextmanager
def _connected(engine: str, address: str) -> Iterator[Engine]:
    found = connect(engine, address)
    try:
        yield found
    finally:
        found.close()


# -- start ---------------------------------------------------------------------------------------


@cluster.command()
@_common
@click.option("-n", "--count", type=click.IntRange(1), help="Hosts; one on each node with room.")
@click.option("--runtime", help="An env, as of `envring serve`, or a runtime of --config.")
@click.option("--config", type=click.Path(dir_okay=False), help="A serve.toml with runtimes.")
@click.option("--launcher", help="Interpreter of the workers, such as prefix:PATH.")
@click.option("--cpus", type=float, default=1.0, show_default=True, help="Of each host.")
@click.option("--slots", type=click.IntRange(1), help="The most envs at a time of each host.")
@click.option("--port", type=click.IntRange(1, 65535), help="Of the first host; then the next.")
@click.option("--key", metavar="WHERE", help="file:PATH or env:NAME; a file of its own.")
@click.option("--insecure", is_flag=True, help="Serve other machines without TLS.")
@click.option("--wait", type=float, default=0.0, help="Seconds to wait for room.")
@click.option("--timeout", type=float, default=120.0, help="Seconds for the hosts to be up.")
def start(
    engine: str,
    address: str,
    name: str,
    count: int | None,
    runtime: str | None,
    config: str | None,
    launcher: str | None,
    cpus: float,
    slots: int | None,
    port: int | None,
    key: str | None,
    insecure: bool,
    wait: float,
    timeout: float,
) -> None:
    """Starts hosts, or starts them again, and prints what to write for `remotes=`.

    They run until `envring cluster stop`. One that dies is started again.
    """
    if "/" in name or not name:
        raise click.UsageError("--name has no slash in it.")
    if cpus <= 0:
        raise click.UsageError("--cpus is more than 0.")
    runtimes = _runtimes(runtime, config, launcher)
    with _connected(engine, address) as found:
        where = key or f"file:{_key_file(name)}"
        plan = groups.Plan(
            name=name,
            runtimes=runtimes,
            count=count,
            cpus=cpus,
            slots=slots,
            port=port,
            key=read_key(where),
            lasting=True,
            insecure=insecure,
        )
        servers = groups.start(found, plan, wait, timeout)
    addresses = [each for _, each in servers]
    authority = _keep_authority(name, addresses)
    click.echo(f'remotes="{",".join(_shown(each, where, authority) for each in addresses)}"')
    click.echo(f'remotes="{engine}://{address}?name={name}"  # the same, wherever they are by then')


def _runtimes(runtime: str | None, config: str | None, launcher: str | None) -> Sequence[Runtime]:
    if config is None:
        if runtime is None:
            raise click.UsageError("Name an env by --runtime or give --config.")
        return [Runtime("default", (runtime,), resolve(launcher))]
    if launcher is not None:
        raise click.UsageError("--config says the launchers: leave out --launcher.")
    found: Runtimes = load(config)
    return list(found) if runtime is None else [found.find(runtime, [])]


def _shown(address: Address, where: str, authority: Path) -> str:
    tls = ""
    if address.scheme == "tls":
        tls = f"&ca={authority}&name={address.options['name']}"
    return f"{address}?key={where}{tls}"


def _key_path(name: str) -> Path:
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "envring" / "cluster" / f"{name}.key"


def _keep_authority(name: str, addresses: Sequence[Address]) -> Path:
    """The file with the certificate that callers are to trust, of a group that was just started."""
    path = _key_path(name).with_suffix(".pem")
    for text in {each.authority for each in addresses if each.authority is not None}:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        except OSError as error:
            why = f"{path}: {error.strerror}"
            raise LaunchError(f"The certificate cannot be written: {why}.") from None
    return path


def _key_file(name: str) -> Path:
    """The file with a group's key, which only its user may read; kept until `stop`."""
    path = _key_path(name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "w") as file:
                file.write(f"{secrets.token_hex(32)}\n")
    except OSError as error:
        raise LaunchError(f"The key cannot be written: {path}: {error.strerror}.") from None
    return path


# -- status and stop -----------------------------------------------------------------------------


@cluster.command()
@_common
def status(engine: str, address: str, name: str) -> None:
    """Shows where the hosts are, and what they do."""
    with _connected(engine, address) as found:
        names = _members(found, name)
        before = {each: found.ask(each, "status", _ASK_SECONDS) for each in names}
        time.sleep(_RATE_SECONDS)
        after = {each: found.ask(each, "status", _ASK_SECONDS) for each in names}
        nodes = found.nodes()
    rows = [("HOST", "ADDRESS", "SESSIONS", "ENVS", "STEPS/S")]
    rows += [_row(each, before[each], after[each]) for each in names]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())
    for node in nodes:
        click.echo(f"node {node.address}: {node.cpus - node.free:g} of {node.cpus:g} CPUs used")


def _row(
    name: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> tuple[str, str, str, str, str]:
    if after is None or "error" in after:
        return name, after["error"] if after else "being started", "", "", ""
    used, slots = after["used"], after["slots"]
    rate = "?"
    if before is not None and before.get("pid") == after["pid"]:
        seconds = after["at"] - before["at"]
        rate = f"{(after['steps'] - before['steps']) / seconds:.0f}"
    envs = f"{used}" if slots is None else f"{used} of {slots}"
    return name, after["url"], str(after["sessions"]), envs, rate


@cluster.command()
@_common
def stop(engine: str, address: str, name: str) -> None:
    """Stops the hosts, and ends their sessions."""
    with _connected(engine, address) as found:
        _members(found, name)
        for each in groups.stop(found, name):
            click.echo(f"{each} is stopped")
    for path in (_key_path(name), _key_path(name).with_suffix(".pem")):
        path.unlink(missing_ok=True)


def _members(engine: Engine, name: str) -> list[str]:
    found = groups.members(engine, name)
    if not found:
        raise EnvringError(f"There are no hosts named {name!r}. See `envring cluster start`.")
    return found
