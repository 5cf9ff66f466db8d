# SPDX-License-Identifier: MIT
"""Checks of envs made from sources. Files are written into a directory that is removed again."""

import os
import shutil
import sys
import tempfile
import textwrap

from envring_worker import files, portal, sources
from envring_worker.failures import SourceError
from plain_checks import main, raises

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


# -- files and modules ---------------------------------------------------------------------------


def check_files():
    with Folder() as folder:
        path = folder.env_file("kept_game.py")
        env = make(path + ":Env", 1, 2, level="hard")
        assert env.args == (1, 2) and env.kwargs == {"level": "hard"}
        assert env.value == Folder.count and env.name == u"Gr\xfc\xdfe"
        assert make(path + ":exact", 3).kwargs == {"mode": "easy"}
        assert make(path + ":Nested.make", 5).args == (5,)
        assert type(make(path + ":Env")) is type(env), "the file is run once"
        module = sys.modules["kept_game"]
        assert type(env).__module__ == module.__name__ and module.Env is type(env)
        assert sys.path[0] == os.path.realpath(folder.path)
        # another of that name, and one that is called like a module that there is
        other = make(folder.env_file(os.path.join("b", "kept_game.py")) + ":Env")
        assert other.value == Folder.count and sys.modules["kept_game"] is module
        assert sys.modules[type(other).__module__].Env is type(other)
        import random

        like = make(folder.env_file("random.py") + ":Env")
        assert like.value == Folder.count and sys.modules["random"] is random
        assert make(folder.env_file("my.env-2.py") + ":Env").value == Folder.count


def check_nothing_is_written_beside_a_file():
    with Folder() as folder:
        path = folder.env_file(os.path.join("a", "lonely.py"))
        kept, sys.dont_write_bytecode = sys.dont_write_bytecode, False
        try:
            make(path + ":Env")
        finally:
            sys.dont_write_bytecode = kept
        written = [name for _, _, names in os.walk(folder.path) for name in names]
        assert [name for name in written if name.startswith("sibling") and ".pyc" in name]
        assert not [name for name in written if name.startswith("lonely") and ".pyc" in name]


def check_modules():
    with Folder() as folder:
        folder.write("package_a/__init__.py", "")
        path = folder.env_file("package_a/game.py")
        sys.path += [folder.path, os.path.dirname(path)]
        assert make("package_a.game:Env", 7).args == (7,)
        assert make("package_a.game:Nested.make").value == Folder.count
        text = "from package_a.game import Env\ndef make(): return Env()\n"
        folder.write("plain_module.py", text)
        assert make("plain_module:make").value == Folder.count


def check_what_cannot_be_found():
    with Folder() as folder:
        path = folder.env_file()
        text, _ = refused("import", "/nowhere/game.py:make")
        assert "no file /nowhere/game.py" in text
        text, _ = refused("env", path)
        assert "names a file only" in text and "game.py:make" in text
        text, _ = refused("import", path + ":Envv")
        assert "no 'Envv'" in text and "there is Env" in text
        text, _ = refused("env", path + ":NUMBER")
        assert "is 3, which cannot be called" in text
        text, _ = refused("import", "no_such_module.part:make")
        assert "there is no module 'no_such_module" in text and sys.executable in text
        text, _ = refused("import", "os:pathh")
        assert "path" in text and "registered" in text


def check_what_fails_on_import():
    with Folder() as folder:
        bad = folder.write("bad.py", "import no_such_module_at_all\n")
        text, trace = refused("import", bad + ":make")
        assert bad in text and "no_such_module_at_all" in text
        assert "bad.py" in trace and "envring_worker" not in trace, trace
        assert "bad" not in sys.modules
        worse = folder.write("worse.py", "def make(:\n")
        text, trace = refused("import", worse + ":make")
        assert "SyntaxError" in text
        leaving = folder.write("leaving.py", "import sys; sys.exit(3)\n")
        assert "SystemExit" in refused("import", leaving + ":make")[0]
        sys.path.append(folder.path)
        text, trace = refused("import", "worse:make")
        assert "importing worse: " in text and "SyntaxError" in text
        # one that is there, and lacks another
        text, trace = refused("import", "bad:make")
        assert "importing bad: " in text and "no_such_module_at_all" in text, text
        # mended, it works without a new interpreter
        folder.write("bad.py", "from os import getcwd as make\n")
        text, _ = refused("env", bad + ":make")
        assert "which is no env: it has no reset, step" in text


def check_what_fails_when_called():
    with Folder() as folder:
        path = folder.env_file()
        text, trace = refused("env", path + ":failing", level=3)
        assert text.endswith("ValueError: no such level") and path in text
        assert "in failing" in trace and "sources.py" not in trace, trace
        text, _ = refused("kwargs", path + ":exact", 1, nonsense=2)
        assert "does not take these arguments" in text and "nonsense" in text
        assert refused("kwargs", path + ":exact")[0]
        assert refused("kwargs", path + ":exact", 1, 2, 3)[0]
        text, trace = refused("env", path + ":deep")  # not the call's own error
        assert "nonsense" in text and "in deep" in trace
        assert "SystemExit: bye" in refused("env", path + ":leaving")[0]
        assert "None, which is no env" in refused("env", path + ":nothing")[0]
        broken = folder.write(
            "broken.py",
            """
            class Broken(object):
                reset = step = action_space = None
                @property
                def observation_space(self):
                    raise ValueError("no camera")
            """,
        )
        text, trace = refused("env", broken + ":Broken")
        assert "the observation_space of" in text and "no camera" in text and "broken.py" in trace
        vector = folder.write(
            "vector.py",
            """
            class Vector(object):
                reset = step = observation_space = action_space = single_observation_space = 1
            """,
        )
        assert "a vector env" in refused("env", vector + ":Vector")[0]


def check_a_render_mode_that_is_refused():
    with Folder() as folder:
        path = folder.env_file()
        source = {"env": path + ":unaware", "kwargs": {"render_mode": "rgb_array", "level": 2}}
        adapted = sources.make_env(source)
        assert adapted.render_mode == "rgb_array" and adapted.env.args == (2,)
        assert source["kwargs"] == {"render_mode": "rgb_array", "level": 2}
        source["env"] = path + ":Env"
        adapted = sources.make_env(source)
        assert adapted.env.kwargs["render_mode"] == adapted.render_mode == "rgb_array"
        text, _ = refused("kwargs", path + ":unaware", render_mode="x", nonsense=1)
        assert "nonsense" in text


# -- setup and imports ---------------------------------------------------------------------------


def check_setup_and_imports():
    with Folder() as folder:
        folder.write("part_a.py", "import setup_ran; setup_ran.order.append('part_a')\n")
        setup = folder.write(
            "setup_env.py",
            """
            import os, sys, types
            sys.path.append(os.path.dirname(os.path.abspath(__file__)))
            module = sys.modules.setdefault("setup_ran", types.ModuleType("setup_ran"))
            if __name__ == "__main__":
                module.order = getattr(module, "order", []) + [sys.argv]
            def later():
                return os.getpid()
            module.later = later
            sys.exit(0)
            """,
        )
        argv = sys.argv
        source = {"env": "x:y", "imports": ["part_a", "os"], "setup": setup}
        for _ in range(2):
            sources.prepare([source, dict(source), {"env": "x:y"}])
        import setup_ran

        assert setup_ran.order == [[setup], "part_a"] and sys.argv is argv
        assert setup_ran.later() == os.getpid()

        failing = folder.write("failing.py", "import sys; sys.exit('no GPU')\n")
        for _ in range(2):
            error = raises(SourceError, sources.prepare, [{"env": "x:y", "setup": failing}])
            assert error.kind == "setup" and "no GPU" in str(error) and failing in str(error)
        failing = folder.write("failing.py", "def f():\n    return 1 / 0\nf()\n")
        error = raises(SourceError, sources.prepare, [{"env": "x:y", "setup": failing}])
        assert "ZeroDivisionError" in str(error) and "in f" in error.trace
        assert "envring_worker" not in error.trace, error.trace
        error = raises(SourceError, sources.prepare, [{"env": "x:y", "setup": "/no/such.py"}])
        assert error.kind == "setup" and "/no/such.py" in str(error)
        error = raises(SourceError, sources.prepare, [{"env": "x:y", "imports": ["no_such_mod"]}])
        assert error.kind == "import" and "imports: there is no module 'no_such_mod'" in str(error)


# -- Portal-Env ----------------------------------------------------------------------------------

MAIN = """
    from portal_env import EnvSidePortal
    from portal_env.config import config
    import {sibling}

    RUNS = []


    def env_factory(*args, **kwargs):
        RUNS.append(args)
        return {module}.Env(*args, **kwargs)


    import {module}


    def main():
        portal = EnvSidePortal(env_factory=env_factory, port=config.env_ports["anything"])
        portal.start()
        raise AssertionError("start() never returns")


    if __name__ == "__main__":
        main()
"""


def portal_env(path, *args, **kwargs):
    return sources.make_env({"env": path, "portal": True, "args": args, "kwargs": kwargs})


def check_an_env_directory_of_portal_env():
    with Folder() as folder:
        folder.env_file("made/portal_game.py")
        names = {"sibling": "sibling_%d" % Folder.count, "module": "portal_game"}
        path = folder.write("made/env_main.py", MAIN, **names)
        for place in (path, os.path.dirname(path)):
            adapted = portal_env(place, "Pong", level=2)
            assert adapted.env.args == ("Pong",) and adapted.env.kwargs == {"level": 2}
            assert adapted.step != adapted.env.step, "numbers reach it as arrays"
            script = sys.modules["__main__"]
            assert script.__file__ == path and script.RUNS[-1] == ("Pong",)
            assert sys.argv == [path, "made"]
        assert len(script.RUNS) == 2, "the script is run once"
        # what it defines can be pickled by name, and imported again where its children import it
        assert script.env_factory.__module__ == "__main__"
        assert portal._SHIM in sys.path[1:]


def check_a_portals_children_import_its_script():
    import multiprocessing

    if not hasattr(multiprocessing, "get_context"):
        return  # Python 2 only forks
    with Folder() as folder:
        path = folder.write(
            "env_main.py",
            """
            import multiprocessing
            import os
            from portal_env import EnvSidePortal

            class Env(object):
                reset = step = observation_space = action_space = None

            def work(number):
                return number + 1, os.getppid()

            def make(number):
                env = Env()
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    env.result = pool.apply_async(work, (number,)).get(timeout=30)
                return env

            if __name__ == "__main__":
                EnvSidePortal(make).start()
            """,
        )
        assert portal_env(path, 5).env.result == (6, os.getpid())


def check_ways_to_start_a_portal():
    with Folder() as folder:
        start = "portal = EnvSidePortal(%s)\n%s\n"
        head = "from portal_env.env_side_portal import EnvSidePortal\n" + textwrap.dedent(
            """
            class Env(object):
                reset = step = observation_space = action_space = None
                def __init__(self, *args): self.args = args
            """
        )
        thread = "import threading\nt = threading.Thread(target=portal.start)\nt.start(); t.join()"
        leave = "try:\n    portal.start()\nexcept %s:\n    raise SystemExit(1)"
        for number, (arguments, end) in enumerate(
            (
                ("Env", "portal.run()"),
                ("env_factory=Env", "portal.start()"),
                ("Env, 7003", leave % "Exception"),
                ("Env", leave % "BaseException"),
                ("Env", thread),
                ("Env", "pass"),
                ("env_factory=lambda *a: Env(*a)", "portal.start()"),
            )
        ):
            path = folder.write("%d/env_main.py" % number, head + start % (arguments, end))
            assert portal_env(path, 5).env.args == (5,), end


def check_scripts_that_give_no_factory():
    def failing(path, *args):
        return raises(SourceError, portal_env, path, *args)

    with Folder() as folder:
        error = failing(folder.path)
        assert error.kind == "import" and "env_main.py" in str(error)
        path = folder.write("a/env_main.py", "import no_such_module\n")
        error = failing(path)
        assert error.kind == "import" and "no_such_module" in str(error) and path in str(error)
        assert "envring_worker" not in error.trace, error.trace
        text = "def f():\n    raise RuntimeError('no display')\nf()\n"
        path = folder.write("b/env_main.py", text)
        error = failing(path)
        assert error.kind == "env" and "RuntimeError: no display" in str(error)
        assert "in f" in error.trace
        path = folder.write("c/env_main.py", "print('nothing else')\n")
        error = failing(path)
        assert error.kind == "env" and "EnvSidePortal(env_factory=...).start()" in str(error)
        path = folder.write(
            "d/env_main.py",
            "from portal_env import EnvSidePortal\nEnvSidePortal(lambda: 1 / 0).start()\n",
        )
        error = failing(path)
        assert error.kind == "env" and "ZeroDivisionError" in str(error)
        error = failing(path, 3)
        assert error.kind == "kwargs", (error.kind, str(error))


def check_an_installed_portal_env_is_not_asked():
    with Folder() as folder:
        folder.write("installed/portal_env/__init__.py", "raise ImportError('the real one')\n")
        sys.path.insert(0, os.path.join(folder.path, "installed"))
        for name in [name for name in sys.modules if name.split(".")[0] == "portal_env"]:
            del sys.modules[name]
        text = "from portal_env import EnvSidePortal\nEnvSidePortal(int).start()\n"
        error = raises(SourceError, portal_env, folder.write("env_main.py", text))
        assert "0, which is no env" in str(error), error


def check_names_of_modules():
    assert files.is_installed("os") and files.is_installed("envring_worker")
    assert not files.is_installed("no_such_module_at_all")


if __name__ == "__main__":
    main(globals())
