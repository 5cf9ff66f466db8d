# SPDX-License-Identifier: MIT
"""Files that make envs, written into a directory that is removed again."""

import os
import shutil
import sys
import tempfile
import textwrap

from envring_worker.envs import sources
from envring_worker.errors import SourceError
from plain_checks import raises

ENV = '''
    # -*- coding: latin-1 -*-
    import {sibling}

    class Space(object):
        def __init__(self, **attributes):
            vars(self).update(attributes)

    Discrete = type("Discrete", (Space,), {{}})

    class Env(object):
        name = u"GREETING"
        observation_space = Discrete(n=3)
        action_space = Discrete(n=2)

        def __init__(self, *args, **kwargs):
            self.args, self.kwargs = args, kwargs
            self.value = {sibling}.VALUE

        def reset(self):
            return 0

        def step(self, action):
            return 0, 0.0, False, {{}}

    class Nested(object):
        make = Env

    NUMBER = 3

    def exact(level, mode="easy"):
        return Env(level, mode=mode)

    def failing(**kwargs):
        raise ValueError("no such level")

    def deep(**kwargs):
        return exact(nonsense=1)

    def leaving():
        raise SystemExit("bye")

    def nothing():
        return None

    def unaware(level=0):
        return Env(level)
'''


class Folder(object):
    """A directory of its own, on nobody's path."""

    count = 0

    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix="sources")
        self.kept = list(sys.path), list(sys.argv), sys.modules["__main__"]
        return self

    def __exit__(self, *_):
        sys.path[:], sys.argv[:], sys.modules["__main__"] = self.kept
        shutil.rmtree(self.path)

    def write(self, name, text, **kwargs):
        path = os.path.join(self.path, name)
        if not os.path.isdir(os.path.dirname(path)):
            os.makedirs(os.path.dirname(path))
        text = textwrap.dedent(text)
        with open(path, "wb") as file:
            data = (text.format(**kwargs) if kwargs else text).encode("ascii")
            file.write(data.replace(b"GREETING", b"Gr\xfc\xdfe"))
        return path

    def env_file(self, name="game.py"):
        """An env's file beside a module that it imports."""
        Folder.count += 1
        sibling = "sibling_%d" % Folder.count
        self.write(os.path.join(os.path.dirname(name), sibling + ".py"), "VALUE = %d" % self.count)
        return self.write(name, ENV, sibling=sibling)


def make(env, *args, **kwargs):
    return sources.make_env({"env": env, "args": list(args), "kwargs": kwargs}).env


def refused(kind, env, *args, **kwargs):
    """The text of the error, whose kind is given."""
    source = {"env": env, "args": list(args), "kwargs": kwargs}
    error = raises(SourceError, sources.make_env, source)
    assert error.kind == kind, (error.kind, str(error), error.trace)
    return str(error), error.trace
