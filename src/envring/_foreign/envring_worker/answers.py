# SPDX-License-Identifier: MIT
"""Replies of envs to a caller in another interpreter, to which only plain data can be sent.

Other values become an error of their env that names the place:
"info['a']['b']: <class 'x.Foo'> ...".
"""

from __future__ import absolute_import, division, print_function

from .commands import CommandLoop
from .data import codec
from .data.plain import plain
from .envs import replacing
from .envs.adapt import AdaptedSlice
from .envs.spaces import value_to_data
from .envs.vectors import iterated
from .vector_slice import VectorSlice

_DEPTH = 2  # of an info in a reply: it is in a dict of parts, and there in one of envs


def _dumps(value, check=False):
    return codec.pack(value)


def _located(place, error):
    """Returns why a value cannot be sent, and where it is."""
    return "%s%s: %s" % (place, getattr(error, "path", ""), getattr(error, "reason", error))


class ForeignSlice(AdaptedSlice):
    """A slice whose values are sent as plain data, its exceptions as text.

    Args:
        envs, first_env, autoreset_mode: as for EnvSlice.
        on_unsendable: what becomes of other values in infos: "raise", "drop" or "repr".
        sources: what the envs were made from.
        make: makes an env from a source.
    """

    def __init__(
        self, envs, first_env, autoreset_mode, on_unsendable="raise", sources=(), make=None
    ):
        AdaptedSlice.__init__(self, envs, first_env, autoreset_mode, _dumps)
        self.on_unsendable = on_unsendable
        self._sources = list(sources)
        self._make = make

    def replace(self, sources):
        """Replaces envs by others with the same spaces; where that fails the old one is made anew.

        Args:
            sources: of each env what to make in its place, or None.
        """
        for i, source in enumerate(sources):
            if source is None:
                continue
            old = self.envs[i], self._sources[i]
            try:
                self.envs[i] = replacing.make_alike(self._make, source, old, self.envs)
                self._sources[i] = source
            except BaseException:
                self.fail(i)
                self._make_anew(i)
        self.rebind()

    def _make_anew(self, i):
        try:
            self.envs[i] = self._make(self._sources[i])
        except BaseException:
            self.fail(i)

    def store_info(self, i, info, has_final=False):
        if self.on_unsendable == "drop":  # before it is written: a template needs all of its keys
            info = plain(info, "drop", _DEPTH)
        AdaptedSlice.store_info(self, i, info, has_final)

    def dump_final(self, obs):
        """Returns a final observation as bytes.

        Raises:
            TypeError: it cannot be sent.
        """
        try:
            return codec.pack(obs)
        except codec.Unsendable as error:
            raise TypeError(_located("final observation", error))


class ForeignVectorSlice(VectorSlice):
    """A slice of vector envs whose values are sent as plain data, its exceptions as text.

    Args:
        envs, first_env, autoreset_mode: as for VectorSlice.
        on_unsendable: as for ForeignSlice.
    """

    def __init__(self, envs, first_env, autoreset_mode, on_unsendable="raise"):
        VectorSlice.__init__(self, envs, first_env, autoreset_mode, _dumps)
        self.on_unsendable = on_unsendable

    def to_info(self, info):
        if self.on_unsendable != "drop":
            return info
        kept = plain(info, "drop", _DEPTH)
        for key in info:
            if key not in kept:
                kept.pop("_%s" % (key,), None)
        return kept

    def store_obs(self, number, obs):
        if not self.obs_writer.has_dynamic:
            VectorSlice.store_obs(self, number, obs)
            return
        env, arrays = self.envs[number], self.segment.slot_arrays(self.slot)[0]
        first, space = self.first_env + self.rows[number][0], env.single_observation_space
        for i, row in enumerate(iterated(env.observation_space, obs)):
            row = value_to_data(space, row)
            self.obs_writer.store(arrays, self.dynamic, first + i, row)


class ForeignCommandLoop(CommandLoop):
    """A command loop that names the place in an info or a result of a value that cannot be sent."""

    def encode(self, reply):
        """Returns the reply as bytes, with infos and results in plain types where necessary."""
        try:
            return self.dumps(reply)
        except codec.Unsendable:
            for part in ("objects", "odd"):
                for env_id, value in reply[part].items():
                    reply[part][env_id] = plain(value, self.envs.on_unsendable, _DEPTH)
            if reply["results"] is not None:
                reply["results"] = [plain(value, "raise", _DEPTH) for value in reply["results"]]
        return CommandLoop.encode(self, reply)

    def why_unsendable(self, part, leaf, env_id, value, error):
        if part == "objects":
            return self._why_not_objects(env_id, value, error)
        place = {"odd": "info", "results": "result"}.get(part)
        if place is None:
            place = "observation" + _leaf_path(self.envs.obs_writer.plan, leaf)
        return _located(place, error)

    def _why_not_objects(self, env_id, values, error):
        """Explains for an info's objects, which are a list: their keys are in its template."""
        template_id = int(self.envs.segment.template_ids[env_id])
        templates = self.envs.infos.templates
        entries = [entries for number, entries in templates if number == template_id][-1]
        for path, value in zip(_object_paths(entries), values):
            try:
                codec.pack(value)
            except codec.Unsendable as inner:
                return _located("info" + path, inner)
        return _located("info", error)


def _object_paths(entries):
    """Returns the places of a template's objects, in order."""
    paths = []
    for entry in entries:
        step = "[%r]" % (entry[1],)
        if entry[0] == "o":
            paths.append(step)
        elif entry[0] == "d":
            paths += [step + path for path in _object_paths(entry[2])]
    return paths


def _leaf_path(plan, index):
    """Returns a leaf's place in the observation space; None if it is not in this part of it."""
    if plan[0] in ("leaf", "dynamic"):
        return "" if plan[1] == index else None
    for key, child in plan[1] if plan[0] == "dict" else enumerate(plan[1]):
        path = _leaf_path(child, index)
        if path is not None:
            return "[%r]%s" % (key, path)
    return None
