# SPDX-License-Identifier: MIT
"""What `remotes=` means: local workers, hosts, and how envs are spread over them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any

from envring.errors import AddressError, EnvFnError, HostRefused, LauncherError
from envring.launchers.sources import EnvSource
from envring.pool.dialling import Dialled
from envring.transport.addresses import OF_OTHERS, Address, parse

# a host that was started, and what to call when it is not needed any longer
Started = tuple[Address, Callable[[], None]]
# scheme of an engine -> what starts hosts for a caller, of which it is told what it wrote, the
# names of its envs, and the seconds that it waits
ENGINES: dict[str, Callable[[str, Sequence[str], float | None], list[Started]]] = {}
# scheme of another project's wire -> what makes an env of an address and a source: one that asks a
# server there. A worker of this machine builds and steps it
CLIENTS: dict[str, Callable[[Address, EnvSource], Any]] = {}


@dataclass(frozen=True)
class Remotes:
    """Where envs are to run.

    Attributes:
        local: number of local workers.
        addresses: of hosts.
        engines: what is to start hosts, as the caller wrote it.
    """

    local: int
    addresses: tuple[Address, ...]
    engines: tuple[str, ...] = ()


def read(remotes: object) -> Remotes:
    """Reads `remotes=`: a number of local workers, addresses of hosts, or both: "4,tcp://h:7777".

    Raises:
        LauncherError: it is none of these.
    """
    if isinstance(remotes, bool) or not isinstance(remotes, (int, str)):
        raise LauncherError(
            "remotes is a number of local workers or addresses of hosts, "
            f"'tcp://HOST:PORT,...', not {remotes!r:.100}."
        )
    local, addresses, engines = 0, [], []
    for part in str(remotes).split(","):
        text = part.strip()
        if text.isdecimal():
            local += int(text)
        elif text.partition("://")[0] in ENGINES:
            engines.append(text)
        elif text:
            addresses.append(parse(text))
            if addresses[-1].scheme in OF_OTHERS and addresses[-1].scheme not in CLIENTS:
                raise AddressError(
                    f"{addresses[-1]} is for callers of other projects. Have the host listen on "
                    "tcp:// or tls://, too."
                )
    if local == 0 and not addresses and not engines:
        raise LauncherError("remotes names no worker and no host.")
    strange = [address for address in addresses if address.scheme in CLIENTS]
    if strange and (len(strange) < len(addresses) or local or engines):
        raise AddressError(
            f"{strange[0]} speaks another project's wire, whose envs cannot be mixed with others "
            "in one vector env. Make one of its own for them."
        )
    return Remotes(local, tuple(addresses), tuple(engines))


def as_clients(
    env_fns: Sequence[Callable[[], Any]], remotes: int | str | None
) -> list[Callable[[], Any]] | None:
    """What local workers are to build where addresses are of another project's wire, else None.

    Raises:
        AddressError: such addresses stand beside others.
        EnvFnError: an env is not given as data.
    """
    addresses = () if remotes is None else read(remotes).addresses
    if not addresses or addresses[0].scheme not in CLIENTS:
        return None
    found: list[Callable[[], Any]] = []
    addresses = tuple(address.with_key() for address in addresses)
    for env_id, fn in enumerate(env_fns):
        address = addresses[env_id % len(addresses)]
        found.append(partial(CLIENTS[address.scheme], address, sourced(env_id, fn)))
    return found


def grouped(
    env_fns: Sequence[Callable[[], Any]], remotes: int | str | None
) -> list[tuple[int | str | None, int]]:
    """What `remotes=` says of envs that follow each other, and how many they are; None: local ones.

    Raises:
        LauncherError: envs have remotes= of their own, and those of the whole vector env, or local
            workers, are said there, too; or local envs come after others.
    """
    own = [fn.remotes if isinstance(fn, EnvSource) else None for fn in env_fns]
    if not any(own):
        return [(remotes, len(env_fns))]
    if remotes is not None:
        raise LauncherError("Some envs have remotes= of their own: leave it out for all of them.")
    groups = [(text, len(list(same))) for text, same in groupby(own)]
    if any(text is None for text, _ in groups[1:]):
        raise LauncherError("Envs of this machine come before those with remotes=: put them first.")
    for text in filter(None, own):
        where = read(text)
        if len(groups) > 1 and (where.local or (where.addresses[:1] and _asks_others(where))):
            raise LauncherError(
                f"remotes={text.partition('?')[0]!r} of one env among others names hosts of ours, "
                "and nothing else."
            )
    return list(groups)


def _asks_others(where: Remotes) -> bool:
    return where.addresses[0].scheme in CLIENTS


def sourced(env_id: int, fn: Callable[[], Any]) -> EnvSource:
    """An env that is given as data, as one for another machine must be.

    Raises:
        EnvFnError: it is a function.
    """
    if not isinstance(fn, EnvSource):
        raise EnvFnError(
            f"env_fns[{env_id}] is {fn!r}: a function belongs to this process and cannot be "
            "sent to a host. Say what to build as data: EnvSource('CartPole-v1')."
        )
    return fn


def start_hosts(
    engines: Sequence[str], envs: Sequence[str], timeout: float | None
) -> list[Started]:
    """Has engines start hosts for envs of those names.

    Raises:
        LaunchError: one of them cannot; the type says why.
    """
    found: list[Started] = []
    try:
        for text in engines:
            found += ENGINES[text.partition("://")[0]](text, envs, timeout)
    except BaseException:
        for _, release in found:
            release()
        raise
    return found


def spread(num_envs: int, local: int, hosts: Sequence[Dialled]) -> list[int]:
    """How many envs go to the local workers, and to each host: by their numbers of processes.

    Raises:
        HostRefused: the hosts have not that many free slots.
    """
    weights = [local, *(max(host.welcome["workers"], 1) for host in hosts)]
    room: list[float] = [float("inf") if local else 0]
    for host in hosts:
        free = host.welcome["free"]
        room.append(float("inf") if free is None else free)
    if sum(room) < num_envs:
        each = "; ".join(_room_of(host) for host in hosts)
        raise HostRefused(f"{num_envs} envs need as many free slots: {each}.", "full")
    counts = [0] * len(weights)
    for _ in range(num_envs):
        open_to = [i for i, count in enumerate(counts) if count < room[i]]
        counts[min(open_to, key=lambda i: (counts[i] + 1) / weights[i])] += 1
    return counts


def _room_of(host: Dialled) -> str:
    free, slots = host.welcome["free"], host.welcome.get("slots")
    used = "?" if not isinstance(slots, int) else slots - free
    return f"{host.address} has {used} of {slots} used"
