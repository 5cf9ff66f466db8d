# SPDX-License-Identifier: MIT
"""What a worker owes to the caller for the dead one in whose place it was started.

The episodes of that one's envs are lost. The caller learns of it as of any end of an episode: the
next step of such an env is not the env's, but the end of the lost episode, as truncated.
"""

from __future__ import absolute_import, division, print_function

RESTARTED = "worker_restarted"  # key of the infos that say so


class Lost(object):
    """The lost episodes of a slice's envs, until their caller has been told of all of them.

    Args:
        envs: the EnvSlice.
        told: "obs", the last observations (i -> observation); "pending", the i's of envs whose
            episodes had ended and which were to be reset next; "seeds", i -> the seed of the first
            reset.
        says_at_end: whether the end of the episode says what happened; else the next reset does.
    """

    def __init__(self, envs, told, says_at_end):
        self.envs = envs
        self.obs = dict(told["obs"])
        self.seeds = dict(told["seeds"])
        self.untold = set(range(envs.num_envs))
        self.says_at_end = says_at_end
        for i, obs in told["obs"].items():
            envs.last_obs[i] = obs
        for i in told["pending"]:
            envs.pending[i] = 1
            self.obs.pop(i, None)

    def bind(self, steps):
        """Puts the ends of lost episodes into the place of the envs' steps."""
        for i in self.obs:
            steps[i] = _End(self, i, steps[i])

    def end(self, i):
        """Returns the end of env i's episode, as a step returns it."""
        self.envs.has_reply = self.envs.stale = True
        info = {}
        if self.says_at_end:
            self.untold.discard(i)
            info = {RESTARTED: True}
        return self.obs.pop(i), 0.0, False, True, info

    def reset(self, i, seed, options):
        """Resets env i; a seed is used if there is none."""
        kept = self.seeds.pop(i, None)
        seed = kept if seed is None else seed
        obs, info = self.envs.envs[i].reset(seed=seed, options=options)
        if i in self.untold:
            self.untold.discard(i)
            info = dict(info)
            info[RESTARTED] = True
        if self.obs.pop(i, None) is not None:
            self.envs.stale = True
        if not (self.obs or self.seeds or self.untold):
            self.envs.lost = None
        return obs, info


class _End(object):
    """A step that is the end of a lost episode, once."""

    def __init__(self, lost, i, step):
        self._lost = lost
        self._i = i
        self._step = step

    def __call__(self, action):
        if self._i in self._lost.obs:
            return self._lost.end(self._i)
        return self._step(action)
