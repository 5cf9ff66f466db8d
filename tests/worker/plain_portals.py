# SPDX-License-Identifier: MIT
"""Checks of env directories as Portal-Env has them."""

import os
import sys
import textwrap

from envring_worker.envs import portal, sources
from envring_worker.errors import SourceError
from plain_checks import main, raises
from plain_folder import Folder

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
        assert "0, which is not an env" in str(error), error


if __name__ == "__main__":
    main(globals())
