# SPDX-License-Identifier: MIT
"""Builds envs for a caller in another interpreter, describes them, and runs its commands."""

from __future__ import absolute_import, division, print_function

import sys

from ..answers import ForeignCommandLoop, ForeignSlice, ForeignVectorSlice
from ..data import codec
from ..data.infos import InfoWriter
from ..data.obs import ObsWriter
from ..envs import describe, sources
from ..envs.vectors import MIXED, is_vector_env
from ..errors import Failed
from ..retiring import Retired
from ..text import as_path, as_text, headline, stack
from .bytecode import no_bytecode
from .relay import RelayPort
from .segment import Segment

_WOULD_BE_STEPPED = (
    u"which would be stepped for each of them. Let the function build a new env at each call."
)


class Service(object):
    """A worker's envs, from their construction to their end.

    Args:
        stream: the channel.
        frame: the start message's bytes.
        library: the native library, or None.
        gone: returns whether the caller is gone.
    """

    def __init__(self, stream, frame, library, gone):
        self.stream = stream
        self.config = codec.unpack(frame)[1]
        self.library = library
        self.gone = gone

    def run(self, why_not_native):
        """Builds the envs, describes them, and runs commands until the end.

        Args:
            why_not_native: why there is no library, as text that the caller may show.

        Raises:
            Failed: an env cannot be built or described, or the segment cannot be used.
        """
        first_env = self.config["first_env"]
        envs = self._make_envs(first_env)
        config = self.config
        given = envs, first_env, config["autoreset_mode"], config["on_unsendable"]
        if is_vector_env(envs[0]):
            self.envs = ForeignVectorSlice(*given)
        else:
            self.envs = ForeignSlice(*given, sources=config["sources"], make=_make_env)
        try:
            description = _describe(envs, first_env)
            description["native"] = self.library is not None
            description["why_not_native"] = why_not_native
            self._send(("ready", description))
            message = self._receive()
            if message[0] == "attach":
                commands = self._attach(*message[1:])
                self._send(("attached",))
                try:
                    commands.run()
                except Retired as leaving:
                    self._send(("retired", leaving.ends))
        finally:
            self.envs.close_unasked()

    def _make_envs(self, first_env):
        """Makes the envs. If one fails, closes those made before, and names it.

        Raises:
            Failed: one cannot be made.
        """
        envs = []
        slots = {}  # by the id of what is inside all wrappers
        try:
            for source in self.config["sources"]:
                env = _make_env(source)
                env_id = first_env + len(envs)
                inner = env if is_vector_env(env) else env.env
                other = slots.setdefault(id(getattr(inner, "unwrapped", inner)), env_id)
                if other != env_id:
                    text = u"the sources of env %d and env %d return the same env object, %s"
                    text %= (other, env_id, _WOULD_BE_STEPPED)
                    raise Failed(env_id, u"same-env", text)
                envs.append(env)
                if is_vector_env(env) != is_vector_env(envs[0]):
                    raise Failed(env_id, u"same-env", MIXED % (first_env, env_id))
            return envs
        except BaseException:  # SystemExit, too: the caller must learn the reason
            kind, error, trace = sys.exc_info()
            for env in envs:
                _close(env)
            if isinstance(error, Failed):
                raise
            env_id = first_env + len(envs)
            if isinstance(error, sources.SourceError):
                raise Failed(env_id, as_text(error.kind), as_text(error), as_text(error.trace))
            raise Failed(env_id, u"env", headline(kind, error), stack(kind, error, trace.tb_next))

    def _attach(self, layout, plans):
        """Connects envs and segment; returns the command loop."""
        try:
            self.envs.first_env = plans.get("first_env", self.envs.first_env)
            if "lost" in plans:
                self.envs.take_place(plans["lost"], codec.unpack)
            segment = Segment(layout, self.config["abi"])
            if self.library is not None:
                self.library.check_segment(segment.address, segment.nbytes)
            first, count = self.envs.first_env, self.envs.num_envs
            self.envs.attach(
                segment,
                ObsWriter(plans["obs"]),
                InfoWriter(first, count, segment.template_ids, segment.info_area),
            )
            self.envs.actions = self.envs.reader(
                plans["action"], segment.num_envs, first, first + count, segment.action_slab
            )
            with no_bytecode():
                port, loop = self._open(segment)
        except Exception:
            kind, error, trace = sys.exc_info()
            text = u"the worker cannot use the shared memory: %s" % headline(kind, error)
            raise Failed(-1, u"library", text, stack(kind, error, trace))
        commands = ForeignCommandLoop(
            self.envs, port, self._receive, codec.pack, self.gone, loop, plans.get("every")
        )
        commands.add_templates(plans.get("templates", ()))
        return commands

    def _open(self, segment):
        """Returns (port, compiled step loop or None)."""
        if self.library is None:
            return RelayPort(self.stream, codec.pack, codec.unpack), None
        from ..native.library import NativePort, NativeUnavailable
        from ..native.loop import NativeLoop

        config, envs = self.config, self.envs
        port = NativePort(
            self.library,
            segment,
            config["index"],
            envs.first_env,
            envs.num_envs,
            config["spin"],
            config["adaptive"],
            config["yield_every"],
        )
        if not config["compiled"] or envs.batched:
            return port, None
        try:
            loop = NativeLoop(
                self.library,
                envs,
                segment,
                [offset for offset, _, _ in segment.spec["obs_leaves"]],
                [offset for offset, _, _ in segment.spec["outcomes"]],
                envs.actions.scalars(),
            )
        except NativeUnavailable:
            loop = None
        return port, loop

    def _send(self, message):
        self.stream.send(codec.pack(message))

    def _receive(self):
        return codec.unpack(self.stream.receive())


def _make_env(source):
    source = _with_paths(source)
    sources.prepare([source])
    return sources.make_env(source)


def _with_paths(source):
    """Returns the source with paths as this interpreter writes them."""
    source = dict(source)
    if source["env"].startswith("/"):
        source["env"] = as_path(source["env"])
    if source["setup"] is not None:
        source["setup"] = as_path(source["setup"])
    return source


def _describe(envs, first_env):
    try:
        return describe.describe(envs)
    except sources.SourceError as error:
        env = getattr(error, "env", None)
        env_id = -1 if env is None else first_env + env
        raise Failed(env_id, as_text(error.kind), as_text(error), as_text(error.trace))
    except Exception:
        kind, error, trace = sys.exc_info()
        text = u"the envs could not be described: %s" % headline(kind, error)
        raise Failed(-1, u"worker", text, stack(kind, error, trace))


def _close(env):
    try:
        env.close()
    except BaseException:  # another error is under way
        sys.excepthook(*sys.exc_info())
