# SPDX-License-Identifier: MIT
"""What envs say to a caller in another interpreter, where only plain data can cross.

What cannot is an error of its env that names the place: "info['a']['b']: <class 'x.Foo'> ...".
"""

from __future__ import absolute_import, division, print_function

from collections import OrderedDict

from .commands import Server
from .data import codec
from .envs.adapt import AdaptedSlice

_MAX_DEPTH = 100  # the codec's
_NUMBERS = (int, type(1 << 80), float, complex)  # and `long` in Python 2
_TEXTS = (str, type(u""), bytes)


def without_subclasses(value, depth=0):
    """The value in plain types: members of an IntEnum as numbers, named tuples as tuples.

    What is of no plain type stays as it is, and the codec refuses it by its place.
    """
    kind = type(value)
    if depth > _MAX_DEPTH or kind is bool or kind.__module__ == "numpy":
        return value
    for base in _NUMBERS:
        if isinstance(value, base):
            return base.__pos__(value)
    for base in _TEXTS:
        if isinstance(value, base):
            return base.__getitem__(value, slice(None))  # not str(): enums say their names there
    if isinstance(value, dict):
        items = [(key, without_subclasses(item, depth + 1)) for key, item in value.items()]
        return (OrderedDict if isinstance(value, OrderedDict) else dict)(items)
    for base in (list, tuple):
        if isinstance(value, base):
            return base(without_subclasses(item, depth + 1) for item in value)
    return value


def _dumps(value, check=False):
    return codec.pack(value)


def _told(place, error):
    """Why a value cannot travel, and where it is."""
    return "%s%s: %s" % (place, getattr(error, "path", ""), getattr(error, "reason", error))


class ForeignSlice(AdaptedSlice):
    """A slice whose values travel as plain data, its exceptions as text."""

    def __init__(self, envs, first_env, autoreset_mode):
        AdaptedSlice.__init__(self, envs, first_env, autoreset_mode, _dumps)

    def dump_final(self, obs):
        """A final observation as bytes."""
        try:
            return codec.pack(obs)
        except codec.Unsendable as error:
            raise TypeError(_told("final observation", error))


class ForeignServer(Server):
    """A server that says where in an info or a result the thing is that cannot travel."""

    def encode(self, reply):
        """The reply as bytes; infos and results come in plain types where they have to."""
        try:
            return self.dumps(reply)
        except codec.Unsendable:
            for part in ("objects", "odd"):
                for env_id, value in reply[part].items():
                    reply[part][env_id] = without_subclasses(value)
            if reply["results"] is not None:
                reply["results"] = without_subclasses(reply["results"])
        return Server.encode(self, reply)

    def why_unsendable(self, part, leaf, env_id, value, error):
        if part == "objects":
            return self._why_not_objects(env_id, value, error)
        place = {"odd": "info", "results": "result"}.get(part)
        if place is None:
            place = "observation" + _leaf_path(self.envs.obs_writer.plan, leaf)
        return _told(place, error)

    def _why_not_objects(self, env_id, values, error):
        """The objects of an info come as a list: their keys are in its template."""
        template_id = int(self.envs.segment.template_ids[env_id])
        templates = self.envs.infos.templates
        entries = [entries for number, entries in templates if number == template_id][-1]
        for path, value in zip(_object_paths(entries), values):
            try:
                codec.pack(value)
            except codec.Unsendable as inner:
                return _told("info" + path, inner)
        return _told("info", error)


def _object_paths(entries):
    """Where a template's objects are, in their order."""
    paths = []
    for entry in entries:
        step = "[%r]" % (entry[1],)
        if entry[0] == "o":
            paths.append(step)
        elif entry[0] == "d":
            paths += [step + path for path in _object_paths(entry[2])]
    return paths


def _leaf_path(plan, index):
    """Where a leaf is in the observation space; None if it is not in this part of it."""
    if plan[0] in ("leaf", "dynamic"):
        return "" if plan[1] == index else None
    for key, child in plan[1] if plan[0] == "dict" else enumerate(plan[1]):
        path = _leaf_path(child, index)
        if path is not None:
            return "[%r]%s" % (key, path)
    return None
