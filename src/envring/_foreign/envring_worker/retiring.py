# SPDX-License-Identifier: MIT
"""When a worker is to be replaced by a new one: between episodes, after so many of them.

It leaves in the midst of the batch that would begin the next episode. Its caller has that batch
answered by the process in its place, as after a death: nothing is lost between two episodes.
"""

from __future__ import absolute_import, division, print_function

import numpy as np

HINT_LEAVES_SOON = 2  #: of a report


class Retired(SystemExit):
    """The worker leaves.

    Attributes:
        ends: by env id the bytes of what the env's last step returned, of which its caller has not
            heard yet (SAME_STEP).
    """

    def __init__(self, ends):
        SystemExit.__init__(self, 0)
        self.ends = ends


class Retiring(object):
    """Counts the episodes of a slice's envs, and has its worker leave.

    It leaves when all of its envs are at an end. If that does not happen before it is due a second
    time, it leaves with the first that is at an end.

    Args:
        envs: the EnvSlice.
        port: the worker's port, which counts steps.
        every: "episodes" and "steps" after which the worker is due, of all its envs together; None
            for no limit.
    """

    def __init__(self, envs, port, every):
        self._envs = envs
        self._port = port
        self._most_episodes = every["episodes"]
        self._most_steps = every["steps"]
        self._steps_before = port.env_steps()
        self._episodes = 0
        self._begun = [False] * envs.num_envs
        self._hinted = False

    def step_ended(self, i, result):
        """Env i's episode has ended with this result, and it is to be reset in the same step."""
        envs = self._envs
        if self._count(i):
            self._leave(envs.num_envs == 1, lambda: {envs.first_env + i: envs.dumps(result)})

    def resets(self, i, asked):
        """Env i is to be reset; `asked`: its caller says so, instead of its episode's end."""
        envs = self._envs
        if asked and self._port.env() < 0:  # all are
            if i == 0:
                self.resets_all(None)
        elif self._count(i):
            others = int(np.count_nonzero(envs.pending)) - (not asked)  # that have ended, too
            self._leave(others == envs.num_envs - 1, others=others)

    def resets_all(self, mask):
        """All envs are to be reset, or those where mask is True."""
        which = [i for i in range(self._envs.num_envs) if mask is None or mask[i]]
        ended = [self._count(i) for i in which]
        if any(ended):
            self._leave(len(which) == self._envs.num_envs)

    def rows_begin(self, a, b, asked=False):
        """A vector env is to be stepped, so it resets its rows that have ended; `asked`: all."""
        pending = self._envs.pending
        which = [i for i in range(a, b) if asked or pending[i]]
        counted = [self._count(i) for i in which]
        if any(counted):
            others = int(np.count_nonzero(pending) - np.count_nonzero(pending[a:b]))
            self._leave(len(which) + others == self._envs.num_envs, others=others)

    def rows_ended(self, first, ended, result):
        """Rows of a vector env have ended with this result, and were reset in the same step."""
        envs = self._envs
        counted = [self._count(first + int(j)) for j in np.flatnonzero(ended)]
        if any(counted):
            between = len(ended) == envs.num_envs and bool(np.all(ended))
            self._leave(between, lambda: {envs.first_env + first: envs.dumps(tuple(result))})

    def _count(self, i):
        """Counts an episode, which ends now; whether env i had one, and this is not its first."""
        begun, self._begun[i] = self._begun[i], True
        self._episodes += begun
        if not begun:
            self._hint()
        return begun

    def _steps(self):
        return self._port.env_steps() - self._steps_before

    def _leave(self, between, ends=dict, others=0):
        """Leaves if it is due.

        Args:
            between: whether no env is in the midst of an episode.
            ends: makes the `ends` of Retired.
            others: how many episodes have ended that are not counted yet.
        """
        due = self._times(others)
        if due < 1 or not (between or due >= 2):
            self._hint()
            return
        try:
            ends = ends()
        except Exception:
            return  # a result that cannot be sent: another one, perhaps
        raise Retired(ends)

    def _times(self, others):
        """How often the worker has become due."""
        episodes, steps = self._most_episodes, self._most_steps
        return max(
            0 if episodes is None else (self._episodes + others) // episodes,
            0 if steps is None else self._steps() // steps,
        )

    def _hint(self):
        """Tells the caller, once, if the worker may be due after the next episode of each env."""
        if self._hinted:
            return
        episodes, next_ones = self._episodes, self._envs.num_envs
        soon = self._most_episodes is not None and episodes + next_ones >= self._most_episodes
        if self._most_steps is not None and not soon:
            steps, most = self._steps(), self._most_steps
            soon = steps >= 0.9 * most
            soon |= episodes > 0 and steps * (episodes + next_ones) >= most * episodes
        if soon:
            self._hinted = True
            self._port.hint(HINT_LEAVES_SOON)
