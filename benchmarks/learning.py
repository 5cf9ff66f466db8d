# SPDX-License-Identifier: MIT
"""Times `examples/ppo.py` and `dqn.py` beside their plain ways: `python benchmarks/learning.py`.

For each seed both ways train CartPole until it returns 475, each in a process of its own, by turns
of an update of PPO or a thousand of DQN: what disturbs one disturbs the other. Before that both
make some thousand steps of CartPole with 100 us more per step, and of one in which 10 % of steps
take 2 ms more. Needs torch, and matplotlib for `--plot`. Leave the machine alone meanwhile.

    python benchmarks/learning.py [--seeds 3] [--only ppo,dqn] [--json PATH] [--plot PATH]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import runpy
import statistics
import time
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from collecting import spend

Curve = list[tuple[float, int, float]]  # seconds, env steps, mean return
EXAMPLES = Path(__file__).parents[1] / "examples"
WAYS = {"ppo": ("rollout", "step and copy"), "dqn": ("send and recv", "step")}
COSTLY_STEPS = {"ppo": 16_384, "dqn": 10_000}


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


def _train(name: str, seed: int, is_plain: bool, cost: str, limit: int, turns: Any) -> None:
    example = runpy.run_path(str(EXAMPLES / f"{name}.py"))
    make: Any = partial(gymnasium.make, "CartPole-v1")
    if cost:
        make = partial(Costlier, cost)
    steps = example["train"](make, seed, is_plain, limit)
    for _ in iter(turns.recv, None):
        began = time.perf_counter()
        found = next(steps, None)
        turns.send((time.perf_counter() - began, found))


class Training:
    """One way, in a fresh process that does nothing when it is not its turn."""

    def __init__(self, *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._turns, other = context.Pipe()
        context.Process(target=_train, args=(*arguments, other), daemon=False).start()
        self.curve: Curve = [(0.0, 0, 0.0)]
        self.done = False

    def turn(self) -> None:
        """Goes on until the next point of the curve."""
        self._turns.send(True)
        seconds, found = self._turns.recv()
        self.done = found is None
        if found is not None:
            self.curve.append((self.curve[-1][0] + seconds, *found[1:]))
        else:
            self._turns.send(None)


def both(name: str, what: str, seed: int, cost: str, limit: int) -> list[Curve]:
    """The curves of ours and of the plain way."""
    ways = [Training(name, seed, is_plain, cost, limit) for is_plain in (False, True)]
    while not all(way.done for way in ways):
        for way in ways if len(ways[0].curve) % 2 else reversed(ways):
            if not way.done:
                way.turn()
    for label, way in zip(WAYS[name], ways, strict=True):
        seconds, steps, mean = way.curve[-1]
        label = f"{name} {what:8} {seed} {label:14}"
        print(f"{label} {seconds:7.1f} s {steps:8,} steps {mean:6.1f}", flush=True)
    return [way.curve for way in ways]


def pairs_of(name: str, what: str, seeds: int, cost: str, limit: int) -> list[list[Curve]]:
    """[ours, the plain one] of each seed; prints ratios."""
    pairs = [both(name, what, seed, cost, limit) for seed in range(1, seeds + 1)]
    times = [ours[-1][0] / plain[-1][0] for ours, plain in pairs]
    each = []
    for curves in pairs:
        last = min(map(len, curves)) - 1  # up to here both had their turns
        ours, plain = (curve[last] for curve in curves)
        each.append(ours[0] / ours[1] / (plain[0] / plain[1]))
    for label, ratios in (("seconds", times), ("seconds a step", each)):
        listed = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        print(f"{name} {what:8} {label}, ours / plain: {statistics.median(ratios):.2f} of {listed}")
    return pairs


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
    parser.add_argument("--only", default="ppo,dqn", help="which; or nothing, to plot")
    parser.add_argument("--costs", default="100us,tail,none", help="of a step; none: to 475")
    parser.add_argument("--json", help="where the curves go; a file that is there is added to")
    parser.add_argument("--plot", help="where a picture of the curves goes")
    given = parser.parse_args()
    path = Path(given.json) if given.json else None
    found: dict[str, list[list[Curve]]] = {}
    if path is not None and path.exists():
        found = json.loads(path.read_text())
    for name in filter(None, given.only.split(",")):
        for cost in given.costs.split(","):
            if cost == "none":
                found[name] = pairs_of(name, "to 475", given.seeds, "", 300_000)
            else:
                pairs_of(name, cost, given.seeds, cost, COSTLY_STEPS[name])
        if path is not None:
            path.write_text(json.dumps(found))
    if given.plot:
        draw(given.plot, found)


if __name__ == "__main__":
    main()
