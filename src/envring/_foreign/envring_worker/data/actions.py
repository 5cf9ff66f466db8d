# SPDX-License-Identifier: MIT
"""Reading a batch's actions: a code in the command says where they are.

0           in the action slab, every leaf in its space's dtype
1           pickled, in a message that came before the command
2           nowhere: every env is reset instead, with neither seed nor options
otherwise   in the action slab, one leaf in another dtype: kind (a character) << 8 | itemsize;
            with PYTHON_NUMBERS the env receives Python numbers, not numpy's
"""

from __future__ import absolute_import, division, print_function

import numpy as np

from .obs import leaves

SLAB = 0
MESSAGE = 1
RESET = 2
PYTHON_NUMBERS = 1 << 30
PYTHON_INTS = PYTHON_NUMBERS | ord("i") << 8 | 8  #: an int64 each: compiled loops read it, too

ALIGNMENT = 128  #: each leaf's array begins on a multiple


def format_code(dtype, python_numbers=False):
    """Returns the code of one leaf in a dtype other than the space's."""
    code = ord(dtype.kind) << 8 | dtype.itemsize
    return code | PYTHON_NUMBERS if python_numbers else code


def _format_dtype(code):
    return np.dtype("%s%d" % (chr((code & ~PYTHON_NUMBERS) >> 8), code & 0xFF))


class ActionReader(object):
    """Reads the actions of a slice of envs, as `iterate` over the batched action space does.

    Args:
        plan: plan of the single action space (see obs.py), None if actions always are messages.
        num_envs: number of envs of the whole vector env.
        first: index of the slice's first env.
        last: index after the slice's last env.
        slab: uint8 array over the action slab.
    """

    def __init__(self, plan, num_envs, first, last, slab):
        self.plan = plan
        self.num_envs = num_envs
        self.first = first
        self.last = last
        self.slab = slab
        self.message = None
        self._kept = {}
        self._views = {}
        self._leaf = plan if plan is not None and plan[0] == "leaf" else None
        self._arrays = self._slab_arrays() if plan is not None else []

    def _slab_arrays(self):
        arrays, at = [], 0
        for leaf in leaves(self.plan):
            shape = (self.num_envs,) + leaf[3]
            dtype = np.dtype(leaf[2])
            nbytes = int(np.prod(shape)) * dtype.itemsize
            arrays.append(self.slab[at : at + nbytes].view(dtype).reshape(shape))
            at += -(-nbytes // ALIGNMENT) * ALIGNMENT
        return arrays

    def scalars(self):
        """Returns the slab's array if it holds one number per env, else None."""
        return self._arrays[0] if self._leaf is not None and not self._leaf[3] else None

    def read(self, code):
        """Returns the slice's actions, in order: copies, which later batches do not change."""
        if code == MESSAGE:
            actions, self.message = self.message, None
            if actions is None:
                actions = [self._kept.get(i) for i in range(self.last - self.first)]
            return actions
        if code != SLAB:
            rows = self._view(code)[self.first : self.last].copy()
            return rows.tolist() if code & PYTHON_NUMBERS else rows
        if self._leaf is not None:
            return self._arrays[0][self.first : self.last].copy()
        rows = [array[self.first : self.last].copy() for array in self._arrays]
        return [self._build(self.plan, rows, i) for i in range(self.last - self.first)]

    def keep(self, actions):
        """Keeps actions of some envs, by their index in the slice, for `read(MESSAGE)`."""
        self._kept.update(actions)

    def _view(self, code):
        view = self._views.get(code)
        if view is None:
            dtype = _format_dtype(code)
            shape = (self.num_envs,) + self._leaf[3]
            nbytes = int(np.prod(shape)) * dtype.itemsize
            view = self._views[code] = self.slab[:nbytes].view(dtype).reshape(shape)
        return view

    def _build(self, plan, rows, i):
        if plan[0] == "leaf":
            return rows[plan[1]][i]
        if plan[0] == "dict":
            return dict((key, self._build(child, rows, i)) for key, child in plan[1])
        return tuple(self._build(child, rows, i) for child in plan[1])


class BatchReader(ActionReader):
    """Reads actions as vector envs take them: batched, in the structure of the space."""

    def read(self, code):
        """Returns a function that returns the actions of some rows of the slice.

        They are copies, which later batches do not change; a list of single actions where they
        came as a message.
        """
        message = ActionReader.read(self, MESSAGE) if code == MESSAGE else None

        def rows(a, b):
            if message is not None:
                return list(message[a:b])
            a, b = self.first + a, self.first + b
            if code == SLAB:
                return self._build_batch(self.plan, a, b)
            given = self._view(code)[a:b]
            return given.astype(self._arrays[0].dtype if code & PYTHON_NUMBERS else given.dtype)

        return rows

    def _build_batch(self, plan, a, b):
        if plan[0] == "leaf":
            return self._arrays[plan[1]][a:b].copy()
        if plan[0] == "dict":
            return dict((key, self._build_batch(child, a, b)) for key, child in plan[1])
        return tuple(self._build_batch(child, a, b) for child in plan[1])
