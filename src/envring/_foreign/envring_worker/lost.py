# SPDX-License-Identifier: MIT
"""What a worker owes to the caller for the one in whose place it was started.

If that one died, the episodes of its envs are lost. The caller learns of it as of any end of an
episode: the next step of such an env is not the env's, but the end of the lost episode, as
truncated. If it has left, that step is the end that the caller has not heard of yet.
"""

from __future__ import absolute_import, division, print_function

RESTARTED = "worker_restarted"  # key of the infos that say so


def mine(envs, by_id):
    """Returns the items of a slice's envs, by their numbers in it."""
    numbered = ((env_id - envs.first_env, value) for env_id, value in by_id.items())
    return dict((i, value) for i, value in numbered if 0 <= i < envs.num_envs)


class Lost(object):
    """The lost episodes of a slice's envs, until their caller has been told of all of them.

    Args:
        envs: the EnvSlice.
        told: "obs", the last observations by env id; "pending", ids of envs whose episodes had
            ended and which were to be reset next; "seeds", by env id the seed of the first reset;
            "ends", by env id the bytes of what the env's last step returned, if it has ended. Those
            of other slices may be among them.
        says_at_end: whether the end of the episode says what happened; else the next reset does.
        loads: reads the bytes.
    """

    def __init__(self, envs, told, says_at_end, loads):
        self.envs = envs
        last = mine(envs, told["obs"])
        self.ends = dict((i, (obs, 0.0, False, True, None)) for i, obs in last.items())
        self.seeds = mine(envs, told["seeds"])
        self.untold = set(range(envs.num_envs))
        self.says_at_end = says_at_end
        for i, obs in last.items():
            envs.last_obs[i] = obs
        for i in mine(envs, dict.fromkeys(told["pending"])):
            envs.pending[i] = 1
            self.ends.pop(i, None)
        for i, data in mine(envs, told["ends"]).items():
            self.ends[i] = loads(data)

    def bind(self, steps):
        """Puts the ends of lost episodes into the place of the envs' steps."""
        for i in self.ends:
            steps[i] = _End(self, i, steps[i])

    def end(self, i):
        """Returns the end of env i's episode, as a step returns it."""
        self.envs.has_reply = self.envs.stale = True
        obs, reward, terminated, truncated, info = self.ends.pop(i)
        if info is None:
            info = {}
            if self.says_at_end:
                self.untold.discard(i)
                info = {RESTARTED: True}
        return obs, reward, terminated, truncated, info

    def reset(self, i, seed, options):
        """Resets env i; a seed is used if there is none."""
        kept = self.seeds.pop(i, None)
        seed = kept if seed is None else seed
        obs, info = self.envs.envs[i].reset(seed=seed, options=options)
        if i in self.untold:
            self.untold.discard(i)
            info = dict(info)
            info[RESTARTED] = True
        if self.ends.pop(i, None) is not None:
            self.envs.stale = True
        if not (self.ends or self.seeds or self.untold):
            self.envs.lost = None
        return obs, info


class _End(object):
    """A step that is the end of a lost episode, once."""

    def __init__(self, lost, i, step):
        self._lost = lost
        self._i = i
        self._step = step

    def __call__(self, action):
        if self._i in self._lost.ends:
            return self._lost.end(self._i)
        return self._step(action)
