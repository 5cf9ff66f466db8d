# SPDX-License-Identifier: MIT
"""Times `examples/ppo.py` and `dqn.py` beside their plain ways: `python benchmarks/learning.py`.

By turns, each in a process of its own: for each seed both ways train CartPole until it returns 475.
Then both ways make some thousand steps of CartPole with 100 us more per step, and of one in which
10 % of the steps take 2 ms more. Needs torch, and matplotlib for `--plot`. Leave the machine alone.

    python benchmarks/learning.py [--seeds 3] [--only ppo,dqn] [--json PATH] [--plot PATH]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import runpy
import statistics
import sys
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from collecting import spend

Curve = list[tuple[float, int, float]]  # seconds, env steps, mean return
EXAMPLES = Path(__file__).parents[1] / "examples"
WAYS = {"ppo": ("rollout", "step and copy"), "dqn": ("send and recv", "step")}
COSTLY_STEPS = {"ppo": 4_096, "dqn": 4_000}


class Costlier(gymnasium.Wrapper[Any, Any, Any, Any]):
    """CartPole whose steps compute for longer: all for 100 us, or one in ten for 2 ms."""

    def __init__(self, cost: str) -> None:
        super().__init__(gymnasium.make("CartPole-v1"))
        self._random = np.random.default_rng()
        self._has_tail = cost == "tail"

    def step(self, action: Any) -> Any:
        if not self._has_tail:
            spend(100e-6)
        elif self._random.random() < 0.1:
            spend(2e-3)
        return self.env.step(action)


def _train(name: str, seed: int, is_plain: bool, cost: str, limit: int, answers: Any) -> None:
    example = runpy.run_path(str(EXAMPLES / f"{name}.py"))
    make: Any = partial(gymnasium.make, "CartPole-v1")
    if cost:
        make = partial(Costlier, cost)
    answers.put(list(example["train"](make, seed, is_plain, limit)))


def train(name: str, seed: int, is_plain: bool, cost: str = "", limit: int = 300_000) -> Curve:
    """A curve of one training, in a fresh process."""
    context = multiprocessing.get_context("spawn")
    answers = context.SimpleQueue()
    arguments = (name, seed, is_plain, cost, limit, answers)
    process = context.Process(target=_train, args=arguments)
    process.start()
    curve: Curve = answers.get()
    process.join()
    return curve


def both(name: str, seed: int, cost: str = "", limit: int = 300_000) -> list[Curve]:
    """Ours and the plain one, in turn; which is first changes from seed to seed."""
    order = (False, True) if seed % 2 else (True, False)
    found = {is_plain: train(name, seed, is_plain, cost, limit) for is_plain in order}
    return [found[False], found[True]]


def show(name: str, what: str, pairs: list[list[Curve]]) -> None:
    """Prints seconds, steps and ratios of some seeds."""
    for seed, curves in enumerate(pairs, 1):
        for way, curve in zip(WAYS[name], curves, strict=True):
            seconds, steps, mean = curve[-1]
            print(f"{name} {what:10} {seed} {way:14} {seconds:7.1f} s {steps:8,} steps {mean:6.1f}")
    ends = [[curve[-1] for curve in curves] for curves in pairs]
    times = [ours[0] / plain[0] for ours, plain in ends]
    each = [ours[0] / ours[1] / (plain[0] / plain[1]) for ours, plain in ends]
    for label, ratios in (("in seconds", times), ("in seconds a step", each)):
        listed = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        print(f"{name} {what:10} ours / plain {label}: {statistics.median(ratios):.2f} of {listed}")
    sys.stdout.flush()


def draw(path: str, found: dict[str, list[list[Curve]]]) -> None:
    """Learning curves by time: a thin line for each seed."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, plots = pyplot.subplots(1, len(found), figsize=(9, 3.2), squeeze=False)
    for plot, (name, pairs) in zip(plots[0], found.items(), strict=True):
        for curves in pairs:
            for way, curve, color in zip(WAYS[name], curves, ("C0", "C1"), strict=True):
                seconds, _, means = zip(*curve, strict=True)
                label = way if curves is pairs[0] else None
                plot.plot(seconds, means, color=color, linewidth=1.2, alpha=0.8, label=label)
        plot.axhline(475, color="grey", linewidth=0.6)
        plot.set(title=name.upper(), xlabel="seconds", ylabel="mean return of 100 episodes")
        plot.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path, dpi=100)


def main() -> None:
    """Measures, prints, and draws."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="ppo,dqn")
    parser.add_argument("--costs", default="100us,tail", help="costlier envs, or nothing")
    parser.add_argument("--json", help="where the curves go; a file that is there is added to")
    parser.add_argument("--plot", help="where a picture of the curves goes")
    given = parser.parse_args()
    path = Path(given.json) if given.json else None
    found: dict[str, list[list[Curve]]] = {}
    if path is not None and path.exists():
        found = json.loads(path.read_text())
    for name in given.only.split(","):
        for cost in filter(None, given.costs.split(",")):
            pairs = [both(name, seed, cost, COSTLY_STEPS[name]) for seed in (1, 2, 3)]
            show(name, cost, pairs)
        pairs = [both(name, seed) for seed in range(1, given.seeds + 1)]
        if pairs:
            found[name] = pairs
            show(name, "to 475", pairs)
        if path is not None:
            path.write_text(json.dumps(found))
    if given.plot:
        draw(given.plot, found)


if __name__ == "__main__":
    main()
