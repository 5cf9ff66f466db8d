# SPDX-License-Identifier: MIT
"""Conformance: attributes, arguments of reset, calls, copies, hooks."""

from __future__ import annotations

from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from gymnasium.vector import AutoresetMode, VectorEnv

from envring.testing.compare import assert_same_batch
from envring.testing.conformance_base import ConformanceBase, expect_error, quiet
from envring.testing.conformance_values import counting, sampling
from envring.testing.envs import CountingEnv, SpaceEnv
from envring.testing.spaces import example_spaces

_WRONG_SEEDS = "If seeds are passed as a list the length must match num_envs=2 but got length={}."


class _Doubled(gymnasium.Wrapper[Any, Any, Any, Any]):
    """A wrapper, to see where attributes are set."""


def _box(low: float, high: float, shape: tuple[int, ...] = (2,), action: int = 3) -> Any:
    return lambda: SpaceEnv(Box(low, high, shape, np.float32), Discrete(action))


class ContractConformance(ConformanceBase):
    """The parts of the contract that are not about batches of values."""

    def test_class(self) -> None:
        """A plain, subscriptable subclass of VectorEnv that is not an Env."""
        with self.running(counting()) as envs:
            assert isinstance(envs, VectorEnv)
            assert not issubclass(type(envs), gymnasium.Env)
            assert envs.unwrapped is envs
            assert self.subject_class()[Any, Any] is not None

    def test_attributes(self) -> None:
        """Spaces, sizes and modes."""
        fns = counting(3, render_mode="rgb_array")
        with self.pair(fns, autoreset_mode="SameStep") as (envs, oracle):
            assert envs.num_envs == 3
            assert envs.single_observation_space == oracle.single_observation_space
            assert envs.observation_space == oracle.observation_space
            assert envs.single_action_space == Discrete(8)
            assert envs.action_space == MultiDiscrete([8, 8, 8])
            assert envs.autoreset_mode is AutoresetMode.SAME_STEP
            assert envs.render_mode == "rgb_array"
            assert envs.copy is True
            assert envs.observation_mode == "same"
            assert envs.env_fns is fns
            assert envs.closed is False
        assert envs.closed is True

    def test_metadata(self) -> None:
        """A copy of the environment's, plus the autoreset mode as an enum member."""
        before = dict(CountingEnv.metadata)  # vector envs of old releases have written into it
        for mode in AutoresetMode:
            with self.running(counting(), autoreset_mode=mode) as envs:
                assert envs.metadata == {**before, "autoreset_mode": mode}
        assert before == CountingEnv.metadata
        assert VectorEnv.metadata == {}
        assert self.subject_class().metadata == {}

    def test_spec_and_repr(self) -> None:
        """`spec` is None until it is set; `repr` shows it."""
        with self.running(counting()) as envs:
            name = type(envs).__name__
            assert envs.spec is None
            assert repr(envs) == f"{name}(num_envs=2)"
            envs.spec = gymnasium.spec("CartPole-v1")
            assert repr(envs) == f"{name}(CartPole-v1, num_envs=2)"

    def test_sampled_actions_match_sync(self) -> None:
        """Equal seeds sample equal actions."""
        with self.pair(counting()) as (envs, oracle):
            envs.action_space.seed(5), oracle.action_space.seed(5)
            assert_same_batch(envs.action_space.sample(), oracle.action_space.sample())

    def test_invalid_modes(self) -> None:
        """Unknown modes are refused."""
        with expect_error(ValueError):
            self.make_vector(counting(), autoreset_mode="Sometimes")
        with expect_error(ValueError, match="Invalid `observation_mode`"):
            self.make_vector(counting(), observation_mode="some")
        with expect_error(
            TypeError, match="Expected both elements of observation_mode to be Spaces"
        ):
            self.make_vector(counting(), observation_mode=("a", "b"))

    def test_env_fns(self) -> None:
        """Empty or uncallable `env_fns` are refused."""
        with expect_error((ValueError, IndexError)):
            self.make_vector([])
        with expect_error((TypeError, ValueError)):
            self.make_vector(cast(Any, [CountingEnv()]))

    def test_different_spaces_are_refused(self) -> None:
        """Mode "same" needs equal observation spaces; every mode needs equal action spaces."""
        with expect_error(RuntimeError, match="observation spaces are not equivalent"):
            self.make_vector([_box(0, 1), _box(0, 2)])
        with expect_error(RuntimeError, match="do not share a common shape and dtype"):
            # with a batched space: batching these two would fail before the check
            space = Box(0, 1, (2,), np.float32)
            mode = (Box(0, 1, (2, 2), np.float32), space)
            self.make_vector([_box(0, 1), _box(0, 1, (3,))], observation_mode=mode)
        with expect_error(RuntimeError, match="action space"):
            self.make_vector([_box(0, 1), _box(0, 1, action=4)])

    def test_observation_mode_different(self) -> None:
        """Mode "different" batches spaces of one shape and dtype with their own bounds."""
        with self.pair([_box(0, 1), _box(0, 2)], observation_mode="different") as (envs, oracle):
            assert envs.observation_space == oracle.observation_space
            assert envs.single_observation_space == Box(0, 1, (2,), np.float32)
            self.drive(envs, oracle, 5)

    def test_observation_mode_pair(self) -> None:
        """A pair is (batched space, single space)."""
        single, batched = Box(-9, 9, (2,), np.float32), Box(-9, 9, (2, 2), np.float32)
        with self.pair([_box(0, 1), _box(0, 2)], observation_mode=(batched, single)) as (
            envs,
            oracle,
        ):
            assert envs.observation_space is batched
            assert envs.single_observation_space is single
            self.drive(envs, oracle, 5)

    def test_changed_space_object(self) -> None:
        """Assigning to the space's dtype after construction changes no result."""
        with self.pair(counting()) as (envs, oracle):
            envs.single_observation_space.dtype = np.dtype(np.float64)
            assert envs.reset(seed=1)[0].dtype == np.float32
            assert_same_batch(envs.reset(seed=1), oracle.reset(seed=1))

    def test_seeds(self) -> None:
        """None, an int (counted up) or one per environment, None among them."""
        with self.pair(sampling(example_spaces()["box_float32"])) as (envs, oracle):
            for seed in (3, [5, 5, 7], (1, None, 2), None, 0):
                assert_same_batch(
                    envs.reset(seed=seed), oracle.reset(seed=seed), where=f"seed {seed}"
                )
            envs.reset(seed=11), oracle.reset(seed=11)
            assert envs.np_random_seed == (11, 12, 13)
            states = [generator.bit_generator.state for generator in envs.np_random]
            assert states == [generator.bit_generator.state for generator in oracle.np_random]

    def test_wrong_seeds(self) -> None:
        """A wrong number of seeds is refused."""
        with self.running(counting()) as envs:
            for seeds in ([], [1], [1, 2, 3]):
                with expect_error(ValueError, text=_WRONG_SEEDS.format(len(seeds))):
                    envs.reset(seed=seeds)
            envs.reset(seed=[1, 2])

    def test_options(self) -> None:
        """Options reach every environment as they are; without `reset_mask`."""
        with self.pair(sampling(example_spaces()["box_float32"])) as (envs, oracle):
            for options in (None, {}, {"a": 1, "b": np.arange(3)}, {"deep": {"x": [1, "y"]}}):
                assert_same_batch(
                    envs.reset(seed=1, options=options), oracle.reset(seed=1, options=options)
                )
            mask = np.array([True, False, True])
            for extra in ({}, {"a": 1}):
                options, again = {"reset_mask": mask, **extra}, {"reset_mask": mask, **extra}
                assert_same_batch(envs.reset(options=options), oracle.reset(options=again))

    def test_reset_masks(self) -> None:
        """Masked-out environments keep their state and observation."""
        for mode in AutoresetMode:
            with self.pair(
                sampling(example_spaces()["nested"], ending="both"), autoreset_mode=mode
            ) as (envs, oracle):
                envs.reset(seed=2), oracle.reset(seed=2)
                ended = np.zeros(3, bool)
                for number in range(8):
                    mask = np.arange(3) == number % 3
                    mask |= ended if mode is AutoresetMode.DISABLED else False
                    seed = [None, number, 5] if number % 2 else None
                    actual = envs.reset(seed=seed, options={"reset_mask": mask.copy()})
                    expected = oracle.reset(seed=seed, options={"reset_mask": mask})
                    assert_same_batch(actual, expected, where=f"reset {number}")
                    batch = oracle.step(np.full(3, 1))
                    actual_batch = envs.step(np.full(3, 1))
                    assert_same_batch(actual_batch[:4], batch[:4], where=f"step {number}")
                    ended = batch[2] | batch[3]

    def test_wrong_masks(self) -> None:
        """Masks of a wrong type, shape or dtype, or without True, are refused."""
        wrong: list[tuple[Any, type[Exception], str]] = [
            (
                [True, True],
                TypeError,
                "`options['reset_mask']` must be a numpy array, got <class 'list'>",
            ),
            (
                np.ones(3, bool),
                ValueError,
                "`options['reset_mask']` must have shape `(2,)`, got (3,)",
            ),
            (
                np.ones((2, 1), bool),
                ValueError,
                "`options['reset_mask']` must have shape `(2,)`, got (2, 1)",
            ),
            (
                np.ones(2, int),
                TypeError,
                "`options['reset_mask']` must have `dtype=np.bool_`, got int64",
            ),
            (
                np.zeros(2, bool),
                ValueError,
                "`options['reset_mask']` must contain a boolean array with at least one True value,"
                " got reset_mask=[False False]",
            ),
        ]
        with self.running(counting()) as envs:
            envs.reset(seed=1)
            for mask, kind, text in wrong:
                with expect_error(kind, text=text):
                    envs.reset(options={"reset_mask": mask})
            assert_same_batch(envs.step(np.array([1, 1]))[1], np.array([0.125, 1.125]))

    def test_call(self) -> None:
        """`call` passes arguments, returns a tuple, calls what is callable."""
        with self.running(counting(3)) as envs:
            envs.reset()
            assert_same_batch(envs.call("add", 10, b=5), (15, 16, 17))
            assert_same_batch(envs.call("index"), (0, 1, 2))
            assert_same_batch(envs.get_attr("gravity"), (9.8, 9.8, 9.8))
            assert_same_batch(envs.get_attr("lengths"), ((2,), (3,), (4,)))
            assert [space.shape for space in envs.get_attr("observation_space")] == [(4,)] * 3

    def test_call_with_large_values(self) -> None:
        """Arguments and results of some MB pass."""
        with self.running(sampling(example_spaces()["discrete"])) as envs:
            array = np.arange(500_000, dtype=np.float64)
            envs.set_attr("payload", array)
            for result in envs.get_attr("payload"):
                assert_same_batch(result, array)
            assert len({result[3] for result in envs.call("probe", array, key=array)}) == 1

    def test_set_attr(self) -> None:
        """Lists and tuples give one value per environment, anything else is a value for all."""
        with self.running(counting()) as envs:
            array = np.array([1.0, 2.0])
            for values, expected in (
                ([1, 2], (1, 2)),
                ((3, 4), (3, 4)),
                (5.5, (5.5, 5.5)),
                ("ab", ("ab", "ab")),
                (array, (array, array)),
                (None, (None, None)),
                ({"k": 1}, ({"k": 1}, {"k": 1})),
            ):
                assert envs.set_attr("gravity", values) is None
                assert_same_batch(envs.get_attr("gravity"), expected)
            for wrong in ([], [1], (1, 2, 3)):
                text = (
                    "Values must be a list or tuple with length equal to the number of"
                    f" environments. Got `{len(wrong)}` values for 2 environments."
                )
                with expect_error(ValueError, text=text):
                    envs.set_attr("gravity", wrong)
            assert_same_batch(envs.get_attr("gravity"), ({"k": 1}, {"k": 1}))

    def test_attributes_through_wrappers(self) -> None:
        """An attribute is set where it exists, a new one on the outermost wrapper."""
        with self.running(
            [lambda: _Doubled(CountingEnv()), lambda: _Doubled(CountingEnv(1))]
        ) as envs:
            envs.set_attr("gravity", [1.5, 2.5])
            assert [env.gravity for env in envs.get_attr("unwrapped")] == [1.5, 2.5]
            envs.set_attr("fresh", 7)
            assert [hasattr(env, "fresh") for env in envs.get_attr("unwrapped")] == [False, False]
            assert envs.get_attr("fresh") == (7, 7)

    def test_render(self) -> None:
        """A tuple of frames."""
        with self.running(counting(render_mode="rgb_array")) as envs:
            envs.reset()
            assert_same_batch(
                envs.render(), (np.full((2, 3, 3), 0, np.uint8), np.full((2, 3, 3), 1, np.uint8))
            )
        with self.running(counting()) as envs:
            envs.reset()
            assert envs.render_mode is None
            assert envs.render() == (None, None)

    def test_close(self) -> None:
        """Closing twice is allowed; a subclass's `close_extras` gets the arguments, once."""
        calls: list[dict[str, Any]] = []

        class Recording(self.subject_class()):  # type: ignore[misc]
            def close_extras(self, **kwargs: Any) -> None:
                calls.append(kwargs)
                super().close_extras(**kwargs)

        envs = Recording(counting(), **self.vector_kwargs)
        envs.reset()
        envs.close(timeout=20)
        envs.close()
        assert calls == [{"timeout": 20}]
        assert envs.closed is True

    def test_step_of_a_subclass(self) -> None:
        """A subclass may wrap `step`."""

        class Louder(self.subject_class()):  # type: ignore[misc]
            def step(self, actions: Any) -> Any:
                observations, rewards, *rest = super().step(actions)
                return (observations, rewards * 2, *rest)

        envs = Louder(counting(), **self.vector_kwargs)
        try:
            envs.reset()
            assert_same_batch(envs.step(np.array([0, 0]))[1], np.array([0.25, 2.25]))
        finally:
            envs.close()

    def test_results_do_not_depend_on_the_neighbours(self) -> None:
        """An environment's results do not depend on which others are in the batch."""
        fns = sampling(example_spaces()["nested"], infos="steady")
        batches = []
        with self.running(fns) as envs:
            envs.reset(seed=4)
            for _ in range(5):
                batches.append(envs.step(np.array([1, 1, 1])))
        with self.running(fns[2:]) as envs:
            envs.reset(seed=6)
            for batch in batches:
                assert_same_batch(envs.step(np.array([1]))[1], batch[1][2:])

    def test_gymnasium_environments(self) -> None:
        """Registered environments with their wrappers."""
        for name in ("CartPole-v1", "FrozenLake-v1", "Pendulum-v1"):

            def make(name: str = name) -> Any:
                return gymnasium.make(name)

            with quiet(), self.pair([make] * 3) as (envs, oracle):
                self.drive(envs, oracle, 40, seed=9)

    def test_step_before_reset(self) -> None:
        """Registered environments raise ResetNeeded."""
        fns = [lambda: gymnasium.make("CartPole-v1")] * 2
        needed = self.expect_env_error(gymnasium.error.ResetNeeded)
        with quiet(), self.running(fns) as envs, needed:
            envs.step(np.array([0, 0]))


__all__ = ["ContractConformance"]
