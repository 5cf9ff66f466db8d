# SPDX-License-Identifier: MIT
"""What to do about exceptions that envs raise only because they run in a worker."""

from __future__ import annotations

from envring.errors import EnvFnError

_TERMINAL = (
    "stdin of a worker is empty. With num_workers=0 the envs run in this process, where input() "
    "and pdb work."
)
_ADVICE = (  # class, part of its text, what to do
    (
        "AssertionError",
        "daemonic processes are not allowed to have children",
        "Workers are daemons, which may not start processes by multiprocessing. Pass daemon=False.",
    ),
    ("EOFError", "EOF when reading a line", _TERMINAL),
    ("BdbQuit", "", _TERMINAL),
    (
        "NameNotFound",
        "",
        "A worker knows the ids that its caller has registered, if their specs can be pickled. Of "
        "others pass the id to envring.make_vec, or register it in a module that env_fns import.",
    ),
)


def advice(kind: str, text: str) -> str | None:
    """What to do about an exception, or None.

    Args:
        kind: name of its class.
        text: its text.
    """
    for name, part, what in _ADVICE:
        if kind.rpartition(".")[2] == name and part in text:
            return what
    return None


def advise_process_each(error: BaseException, env_id: int, first_env: int) -> None:
    """Adds a note to what the constructor of an env raised, if its process holds others.

    Args:
        error: what it raised.
        env_id: the env.
        first_env: the first env of that process.
    """
    if env_id != first_env and not isinstance(error, EnvFnError):  # which says what to do
        error.add_note(
            f"Env {first_env} was built before it in the same process. If a process can hold only "
            "one such env, give each env a process of its own: num_workers=num_envs."
        )
