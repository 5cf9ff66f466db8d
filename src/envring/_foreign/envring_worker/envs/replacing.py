# SPDX-License-Identifier: MIT
"""An env in the place of another one, in the same worker."""

from __future__ import absolute_import, division, print_function

import sys

from ..data import codec
from ..errors import SourceError
from .describe import distinct_spaces


def make_alike(make, source, old, others):
    """Closes an env and makes another one that has the same spaces.

    Args:
        make: makes an env from a source.
        source: what to make.
        old: the env to close, and its source.
        others: all envs of the worker.

    Raises:
        SourceError: it cannot be made, or cannot take the old one's place.
    """
    before, old_source = old
    _close(before)
    env = make(source)
    if any(_inside(env) is _inside(other) for other in others):
        text = u"%s returned an env object that it has returned before. Let it make a new one"
        raise SourceError(u"same-env", text % source["env"])
    try:
        for name in ("observation_space", "action_space"):
            _check(name, (source, env), (old_source, before))
    except BaseException:
        _close(env)
        raise
    return env


def _inside(env):
    return getattr(env.env, "unwrapped", env.env)


def _check(name, new, old):
    told = [codec.pack(distinct_spaces([env], name)[0][0]) for _, env in (new, old)]
    if told[0] != told[1]:
        texts = []
        for source, env in (new, old):
            texts.append("%s has %.200r" % (source["env"], getattr(env, name)))
        text = "the %ss differ: %s, %s. Only an env with the same spaces can take another's place; "
        text += "make a vector env of its own for it"
        raise SourceError("space", text % (name.replace("_", " "), texts[0], texts[1]))


def _close(env):
    """Closes an env; what that raises goes to stderr."""
    try:
        env.close()
    except Exception:
        sys.excepthook(*sys.exc_info())
