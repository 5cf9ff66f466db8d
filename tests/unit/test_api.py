# SPDX-License-Identifier: MIT
"""The names, signatures and classes that users rely on: `public_api.txt` holds all of them."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Iterator
from difflib import ndiff
from itertools import takewhile
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest
from gymnasium.vector import AsyncVectorEnv

import envring
import envring.testing
from envring import RingVectorEnv, errors
from envring.testing import CountingEnv

TABLE = Path(__file__).with_name("public_api.txt")
# of an instance, beside what its class has
ATTRIBUTES = {
    *(
        "num_envs",
        "num_workers",
        "batch_size",
        "options_per_env",
        "env_fns",
        "metadata",
        "render_mode",
        "autoreset_mode",
    ),
    *("observation_space", "action_space", "single_observation_space", "single_action_space"),
    *("copy", "context", "daemon", "worker", "shared_memory", "observation_mode"),
    *("max_concurrency", "final_observation"),
}


def is_ours(kind: type) -> bool:
    return kind.__module__.partition(".")[0] == "envring"


def is_public(kind: type) -> bool:
    return not is_ours(kind) or kind.__name__ in envring.__all__ + envring.testing.__all__


def own_members(kind: type) -> dict[str, Any]:
    """Public members that a class has from us; not those that a public base has alike."""
    found: dict[str, Any] = {}
    for base in filter(is_ours, reversed(kind.__mro__)):
        if base is not kind and is_public(base):
            continue
        found |= {name: value for name, value in vars(base).items() if name[0] != "_"}
    return {name: found[name] for name in sorted(found) if not name.startswith("test_")}


def known_bases(kind: type) -> list[str]:
    """Names of the base classes; bases of ours that are not public are replaced by theirs."""
    names: list[str] = []
    for base in kind.__bases__:
        names += [base.__name__] if is_public(base) else known_bases(base)
    return list(dict.fromkeys(name for name in names if name != "object"))


def parameters(function: Any) -> str:
    """Names, kinds and defaults; types are what mypy checks."""
    signature = inspect.signature(function)
    plain = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    return str(signature.replace(parameters=plain, return_annotation=signature.empty))


def described_class(kind: type) -> Iterator[str]:
    """One line for the class, and one for each way to use it."""
    bases = ", ".join(known_bases(kind))
    yield f"class {kind.__name__}({bases})" if bases else f"class {kind.__name__}"
    if any("__init__" in vars(base) for base in kind.__mro__ if is_ours(base)):
        yield f"  {kind.__name__}{parameters(kind)}"
    fields = getattr(kind, "__dataclass_fields__", {})
    for name, value in own_members(kind).items():
        if isinstance(value, property):
            yield f"  {name}: property"
        elif isinstance(value, FunctionType):
            yield f"  {name}{parameters(value)}"
        elif isinstance(value, classmethod | staticmethod):
            yield f"  {name}{parameters(value.__func__)}: {type(value).__name__}"
        elif name not in fields:
            if name == "metadata":  # vector envs of old releases write into it
                value = {key: value[key] for key in value if key != "autoreset_mode"}
            yield f"  {name} = {value!r}"


def described(module: Any) -> Iterator[str]:
    """Lines that say everything that is public in a module."""
    for name in sorted(module.__all__):
        value = getattr(module, name)
        if inspect.isclass(value):
            yield from described_class(value)
        elif callable(value):
            yield f"{name}{parameters(value)}"
        else:
            yield f"{name}: {type(value).__name__}"


@pytest.mark.parametrize("module", [envring, envring.testing], ids=lambda module: module.__name__)
def test_everything_public_is_in_the_table(module: Any) -> None:
    """Who changes the interface changes the table, too."""
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    start = lines.index(f"# {module.__name__}") + 1
    expected = list(takewhile(lambda line: not line.startswith("#"), lines[start:]))
    found = list(described(module))
    changes = [line for line in ndiff(expected, found) if line[0] in "-+"]
    assert not changes, f"the interface is not that of {TABLE.name}:\n" + "\n".join(changes)


def test_names() -> None:
    assert len(envring.__all__) == len(set(envring.__all__))
    for name in envring.__all__:
        thing = getattr(envring, name)
        assert not inspect.isclass(thing) or thing.__doc__
    assert envring.__version__ == "0.1.0"


def test_attributes_of_a_vector_env() -> None:
    envs = RingVectorEnv([CountingEnv] * 2, num_workers=0)
    try:
        assert {name for name in vars(envs) if name[0] != "_"} == ATTRIBUTES
    finally:
        envs.close()


def test_typed() -> None:
    assert Path(envring.__file__).with_name("py.typed").exists()


def test_worker_died_pickles() -> None:
    error = errors.WorkerDied((1, 2), 99, None, 9, "the end")
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)
    assert (again.env_ids, again.pid, again.exitcode, again.signal, again.stderr_tail) == (
        (1, 2),
        99,
        None,
        9,
        "the end",
    )


# ours are those of the newest
same_signatures = pytest.mark.skipif(
    "max_concurrency" not in inspect.signature(AsyncVectorEnv).parameters,
    reason="Gymnasium before 1.4 has other signatures: ours stay uncompared",
)


@same_signatures
def test_constructor() -> None:
    theirs = list(inspect.signature(AsyncVectorEnv).parameters.values())
    ours = list(inspect.signature(RingVectorEnv).parameters.values())
    for mine, other in zip(ours, theirs, strict=False):
        assert (mine.name, mine.kind, mine.default) == (other.name, other.kind, other.default)
    assert all(mine.kind is mine.KEYWORD_ONLY for mine in ours[len(theirs) :])


@same_signatures
@pytest.mark.parametrize(
    "name",
    [name for name in vars(AsyncVectorEnv) if not name.startswith("_")],
)
def test_methods_take_what_asyncvectorenvs_take(name: str) -> None:
    theirs = inspect.getattr_static(AsyncVectorEnv, name)
    ours = inspect.getattr_static(RingVectorEnv, name)
    assert type(ours) is type(theirs)
    if not callable(theirs):
        return
    mine, other = inspect.signature(ours).parameters, inspect.signature(theirs).parameters
    assert list(mine)[: len(other)] == list(other)
    more = list(mine.values())[len(other) :]
    assert all(parameter.default is not parameter.empty for parameter in more)
    for parameter in other:
        assert mine[parameter].default == other[parameter].default
        assert mine[parameter].kind == other[parameter].kind
