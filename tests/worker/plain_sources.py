# SPDX-License-Identifier: MIT
"""Checks of envs made from sources."""

import os
import sys

from envring_worker.envs import scripts, sources
from envring_worker.errors import SourceError
from plain_checks import main, raises
from plain_folder import Folder, make, refused

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


def check_entrypoints_of_remote_gym_get_what_they_take():
    text = "\n\n".join(
        "class %s(object):\n"
        "    @staticmethod\n"
        "    def create_environment(%s): return Env(*sorted(locals().items()))\n"
        % (name, arguments)
        for name, arguments in (
            ("Neither", ""),
            ("Number", "env_id"),
            ("Pictures", "enable_rendering, env_id, **kwargs"),
            ("Default", "enable_rendering=7"),
        )
    )
    with Folder() as folder:
        path = folder.env_file("entrypoints.py")
        with open(path, "a") as file:
            file.write("\n" + text)

        def args(name, **kwargs):
            return make("%s:%s.create_environment" % (path, name), **kwargs).args

        assert args("Neither", env_id=1) == ()
        assert args("Number", env_id=1) == (("env_id", 1),)
        found = dict(args("Pictures", env_id=1, render_mode="rgb_array", level=3))
        rest = {"render_mode": "rgb_array", "level": 3}
        assert found == {"enable_rendering": True, "env_id": 1, "kwargs": rest}
        assert dict(args("Pictures", env_id=1))["enable_rendering"] is False
        assert args("Default") == (("enable_rendering", 7),)


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
        assert "names only a file" in text and "game.py:make" in text
        text, _ = refused("import", path + ":Envv")
        assert "no 'Envv'" in text and "similar names: Env" in text
        text, _ = refused("env", path + ":NUMBER")
        assert "is 3, which is not callable" in text
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
        assert "which is not an env: it has no reset, step" in text


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
        assert "None, which is not an env" in refused("env", path + ":nothing")[0]
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


def check_names_of_modules():
    assert scripts.is_installed("os") and scripts.is_installed("envring_worker")
    assert not scripts.is_installed("no_such_module_at_all")


if __name__ == "__main__":
    main(globals())
