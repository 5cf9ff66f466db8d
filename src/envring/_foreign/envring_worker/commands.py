# SPDX-License-Identifier: MIT
"""A worker's command loop."""

from __future__ import absolute_import, division, print_function

import time

from .data.actions import RESET
from .retiring import Retiring

OP_STEP = 1
OP_MESSAGE = 2
OP_EACH = 3  #: some envs, each published by itself
OP_TOGETHER = 4  #: some envs, published together

HINT_MOSTLY_WAITING = 1

_IDLE = 0.25  # seconds between checks for the caller's death; an orphan has 1 s to close its envs


class WaitWatch(object):
    """Detects, in the first steps, envs that mostly wait (sleep, socket) instead of compute.

    Time in which the kernel did not run the process does not count as waiting: a busy machine is
    not a reason for more workers.
    """

    WINDOW = 0.25  # seconds of stepping
    BATCHES = 8
    SHORT_BATCH = 1e-3  # seconds: where batches are shorter, more overlap would gain nothing
    SHORT_BATCHES = 64

    def __init__(self):
        self._thread_time = getattr(time, "thread_time", None)
        self.over = self._thread_time is None
        self._batches = 0
        self._wall = self._cpu = 0.0
        self._delay = _run_delay()

    def measure(self, step, slot, action):
        """Runs a step; returns True once, when steps are found to mostly wait."""
        wall, cpu = time.time(), self._thread_time()
        step(slot, action)
        self._cpu += self._thread_time() - cpu
        self._wall += time.time() - wall
        self._batches += 1
        if self._batches == self.SHORT_BATCHES and self._wall < self._batches * self.SHORT_BATCH:
            self.over = True
            return False
        if self._wall < self.WINDOW or self._batches < self.BATCHES:
            return False
        self.over = True
        waited = self._wall - self._cpu - (_run_delay() - self._delay)
        return waited > self._wall / 2


def _run_delay():
    """Returns the seconds in which this thread was runnable but not running."""
    try:
        with open("/proc/thread-self/schedstat") as stat:
            return int(stat.read().split()[1]) * 1e-9
    except (IOError, OSError, IndexError, ValueError):
        return 0.0


class CommandLoop(object):
    """Runs commands of one worker until the caller closes it or is gone.

    Args:
        envs: EnvSlice, attached.
        port: has next(timeout), finish(seq, reply), env() (which is next, of a command for some),
            hint(hints), count_batch(busy_ns, env_steps).
        receive: returns the next message of the channel.
        dumps: turns a reply into bytes.
        gone: returns whether the caller is gone.
        loop: a compiled step loop (step, serve, rebind, add_template, count_for), or None.
        every: after what the worker is to be replaced, see Retiring; None: never.
    """

    def __init__(self, envs, port, receive, dumps, gone, loop=None, every=None):
        self.envs = envs
        self.port = port
        self.receive = receive
        self.dumps = dumps
        self.gone = gone
        self.loop = loop
        self.watch = WaitWatch()
        if loop is not None:
            loop.count_for(port)
        if every is not None:
            envs.retiring = Retiring(envs, port, every)

    def run(self):
        while not self.gone():
            if self.loop is not None and self.watch.over:
                command = self.loop.serve(self.port, _IDLE)
            else:
                command = self.port.next(_IDLE)
            if command is None:
                continue
            if len(command) == 1:
                going_on = self._finish(command[0])
            elif command[0] == OP_STEP and command[3] == RESET:
                going_on = self._reset(*command[1:3])
            elif command[0] == OP_STEP:
                going_on = self._step(*command[1:])
            elif command[0] != OP_MESSAGE:
                going_on = self._some(*command[1:])
            else:
                going_on = self._message(command[1])
            if not going_on:
                return

    def step(self, slot, action):
        if self.loop is not None:
            self.loop.step(slot, action)
        else:
            self.envs.step(slot, self.envs.actions.read(action))

    def _step(self, seq, slot, action):
        start = time.time()
        if self.watch.over:
            self.step(slot, action)
        elif self.watch.measure(self.step, slot, action):
            self.port.hint(HINT_MOSTLY_WAITING)
        self._count(start, self.envs.num_envs)
        return self._finish(seq)

    def _count(self, start, env_steps):
        busy = int((time.time() - start) * 1e9)
        self.port.count_batch(max(busy, 0), env_steps)

    def _reset(self, seq, slot):
        self.envs.reset_plainly(slot)
        self._rebind()
        return self._finish(seq)

    def _some(self, seq, slot, action):
        """Steps or resets some envs."""
        self.watch.over = True  # it measures whole batches
        if self.loop is not None:
            return True  # which is in the midst of it
        actions = None if action == RESET else self.envs.actions.read(action)
        while True:
            i = self.port.env()
            if i < 0:
                break
            start = time.time()
            self.envs.run_one(i, slot, actions)
            if action != RESET:
                self._count(start, 1)
            if not self._finish(seq):
                return False
        if action == RESET:
            self.envs.rebind()
        return True

    def _message(self, seq):
        """Runs a message; seq 0 means that it needs no answer."""
        message = self.receive()
        name = message[0]
        if name == "actions":
            self.envs.actions.message = message[1]
        elif name == "some_actions":
            self.envs.actions.keep(message[1])
        elif name == "reset_arguments":
            self.envs.reset_arguments.update(message[1])
        elif name == "templates":
            self.add_templates(message[1])
        elif name == "reset":
            self.envs.reset(*message[1:])
            self._rebind()
        elif name == "call":
            self.envs.call(*message[1:])
            self._rebind()
        elif name == "set_attr":
            self.envs.set_attr(*message[1:])
            self._rebind()
        elif name == "takes":
            self.envs.takes(*message[1:])
        elif name == "replace":
            self.envs.replace(message[1])
            self._rebind()
        elif name == "close":
            self.envs.close()
            self._finish(seq)
            return False
        return self._finish(seq) if seq else True

    def add_templates(self, templates):
        for template in templates:
            self.envs.infos.add_template(template)
            if self.loop is not None:
                self.loop.add_template(template)

    def _rebind(self):
        if self.loop is not None:
            self.loop.rebind()

    def _finish(self, seq):
        if self.envs.stale:
            self.envs.rebind()
            self._rebind()
        reply = self.envs.take_reply()
        return self.port.finish(seq, None if reply is None else self.encode(reply))

    def encode(self, reply):
        """Returns the reply as bytes; a value that cannot be sent becomes a failure of its env."""
        try:
            return self.dumps(reply)
        except Exception:
            for part in ("objects", "odd"):
                self._drop_unsendable(reply[part], part)
            for leaf, values in reply["dynamic"].items():
                self._drop_unsendable(values, "dynamic", leaf)
            if reply["results"] is not None:
                results = dict(enumerate(reply["results"], self.envs.first_env))
                self._drop_unsendable(results, "results")
                reply["results"] = [
                    results.get(self.envs.first_env + i) for i in range(self.envs.num_envs)
                ]
            self._add_failures(reply)
        try:
            return self.dumps(reply)
        except Exception as error:  # each env's part can be sent, the whole reply cannot
            reply.update(objects={}, odd={}, dynamic={}, finals={}, results=None)
            for i in range(self.envs.num_envs):
                self._fail(i, "the reply of all envs cannot be sent to the caller: %s" % error)
            self._add_failures(reply)
            return self.dumps(reply)

    def _add_failures(self, reply):
        reply["failures"] = reply["failures"] + self.envs.failures
        self.envs.failures, self.envs.has_reply = [], False

    def _fail(self, i, text):
        try:
            raise TypeError(text)
        except TypeError:
            self.envs.fail(i)

    def why_unsendable(self, part, leaf, env_id, value, error):
        """Returns the message for an env whose value cannot be sent.

        Args:
            part: part of the reply: "objects", "odd", "dynamic" or "results".
            leaf: index of the observation's leaf if part is "dynamic".
            env_id: id of the env.
            value: the value.
            error: why it cannot be sent.
        """
        what = {"dynamic": "observation", "results": "result"}.get(part, "info")
        return "the env's %s cannot be sent to the caller: %s" % (what, error)

    def _drop_unsendable(self, values, part, leaf=None):
        for env_id in list(values):
            try:
                self.dumps(values[env_id])
            except Exception as error:
                text = self.why_unsendable(part, leaf, env_id, values.pop(env_id), error)
                self._fail(env_id - self.envs.first_env, text)
