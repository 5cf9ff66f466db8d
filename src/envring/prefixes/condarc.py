# SPDX-License-Identifier: MIT
"""conda's configuration files, which py-rattler does not read."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envring.errors import SpecError
from envring.prefixes.documents import parse

PRIORITIES = ("strict", "flexible", "disabled")


@dataclass(frozen=True)
class Condarc:
    """The settings that this package uses, from all files together.

    Attributes:
        channels: channels to use beside those of a spec, highest priority first.
        default_channels: what the channel "defaults" means; empty: Anaconda's own.
        channel_alias: the URL before a channel's bare name, or None.
        channel_priority: one of PRIORITIES, or None.
        proxies: proxy URLs by scheme, (scheme, URL).
        ssl_verify: whether to check certificates, or the file of those to trust.
    """

    channels: tuple[str, ...] = ()
    default_channels: tuple[str, ...] = ()
    channel_alias: str | None = None
    channel_priority: str | None = None
    proxies: tuple[tuple[str, str], ...] = ()
    ssl_verify: bool | str = True

    def content(self) -> dict[str, Any]:
        """Returns the settings, except `channels`, that change which packages are found."""
        found = {
            "default_channels": self.default_channels,
            "channel_alias": self.channel_alias,
            "channel_priority": self.channel_priority,
        }
        return {name: value for name, value in found.items() if value}


def read() -> Condarc:
    """Reads `~/.config/conda/.condarc`, `~/.condarc` and `$CONDARC`; the last one counts most.

    Raises:
        SpecError: a file is malformed.
        LauncherError: PyYAML is not installed.
    """
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    places = [f"{base}/conda/.condarc", "~/.condarc", os.environ.get("CONDARC", "")]
    paths = [Path(place).expanduser() for place in places if place]
    merged: dict[str, Any] = {}
    for path in dict.fromkeys(paths):
        if path.is_file():
            _merge(merged, _settings(path))
    return Condarc(**merged)


def _merge(merged: dict[str, Any], more: dict[str, Any]) -> None:
    """Adds the settings of a file that counts more: lists are joined, as conda does."""
    for name, value in more.items():
        if isinstance(value, tuple):
            value = tuple(dict.fromkeys((*value, *merged.get(name, ()))))
        merged[name] = value


def _settings(path: Path) -> dict[str, Any]:
    try:
        data = parse(path, path.read_text(encoding="utf-8"))[0] or {}
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"conda's configuration '{path}' cannot be read: {error}.") from error
    if not isinstance(data, dict):
        raise SpecError(f"conda's configuration '{path}' does not hold a mapping.")
    found: dict[str, Any] = {}
    for name in ("channels", "default_channels"):
        if data.get(name):
            found[name] = _texts(path, name, data[name])
    alias = data.get("channel_alias")
    if alias:
        found["channel_alias"] = _texts(path, "channel_alias", [alias])[0]
    if data.get("channel_priority") is not None:
        found["channel_priority"] = priority(path, data["channel_priority"])
    proxies = data.get("proxy_servers") or {}
    if not isinstance(proxies, dict):
        raise SpecError(f"'{path}': 'proxy_servers' must map schemes to URLs, not {proxies!r}.")
    if proxies:
        values = _texts(path, "proxy_servers", list(proxies.values()))
        found["proxies"] = tuple(zip(map(str, proxies), values, strict=True))
    verify = data.get("ssl_verify")
    if isinstance(verify, (bool, str)) and verify != "":
        found["ssl_verify"] = verify
    return found


def _texts(path: Path, name: str, values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise SpecError(f"'{path}': {name!r} must hold text, not {values!r}.")
    return tuple(os.path.expandvars(value.strip()) for value in values)


def priority(source: Path | str, value: Any) -> str:
    """Returns one of PRIORITIES; conda also accepts booleans.

    Args:
        source: where the value stands, for the error.
        value: what stands there.

    Raises:
        SpecError: it means none of them.
    """
    text = str(value).strip().lower()
    text = {"true": "flexible", "false": "disabled"}.get(text, text)
    if text not in PRIORITIES:
        raise SpecError(
            f"'{source}': channel_priority is {value!r}, but must be one of "
            f"{', '.join(PRIORITIES)}."
        )
    return text
