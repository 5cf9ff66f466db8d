# SPDX-License-Identifier: MIT
"""The port, and what cannot be used, in the interpreter that runs this: LIBRARY NAME...

Each function without arguments is a test, NAMEs are some of them.
"""

from __future__ import absolute_import, division, print_function

import ctypes
import errno
import sys
import threading

import numpy as np
from envring_worker.commands import OP_MESSAGE, OP_STEP
from envring_worker.data.actions import PYTHON_INTS
from envring_worker.native import cpython, library, structs
from envring_worker.native.library import NativePort, NativeUnavailable
from envring_worker.native.loop import NativeLoop
from plain_checks import main
from plain_odd import LEAF, Steady
from plain_rig import PATH, Segment, attached, compiled, open_library

LIMIT = 20.0  # seconds that a wait may take at most


class Caller(object):
    """The caller's end, by the same library."""

    def __init__(self, library, segment, num_envs):
        self.functions = functions = library.unlocked
        self.state = ctypes.create_string_buffer(1024)
        self.views = [ctypes.create_string_buffer(256) for _ in range(2)]
        self.counted = ctypes.create_string_buffer(64)
        pointer = ctypes.c_void_p
        functions.er_caller_open.argtypes = [pointer] * 5
        functions.er_caller_begin.argtypes = [pointer, ctypes.c_uint32]
        functions.er_caller_begin.restype = ctypes.c_uint32
        functions.er_caller_post.argtypes = [pointer, ctypes.c_uint32, pointer]
        functions.er_caller_wait.argtypes = [pointer, ctypes.c_int64]
        functions.er_ring_read.argtypes = [pointer, pointer, ctypes.c_uint64]
        functions.er_ring_read.restype = ctypes.c_int64
        functions.er_park_now.restype = ctypes.c_int64
        r = functions.er_caller_open(
            self.state, segment.address, self.views[0], self.views[1], self.counted
        )
        assert r == 0
        self.num_envs = num_envs

    def post(self, op, slot=0, action=0):
        seq = self.functions.er_caller_begin(self.state, self.num_envs)
        command = structs.Command(op, seq, slot, action)
        assert self.functions.er_caller_post(self.state, 0, ctypes.byref(command)) == 0
        self.functions.er_caller_ring(self.state)
        return seq

    def wait(self):
        """Waits for the batch; returns the reply's bytes as far as they had to be drained."""
        drained = b""
        end = self.functions.er_park_now() + int(LIMIT * 1e9)
        while True:
            r = self.functions.er_caller_wait(self.state, end)
            if r == 0:
                return drained + self.drain()
            assert r == 1, r
            drained += self.drain()
            self.functions.er_caller_ring(self.state)

    def drain(self):
        chunk = ctypes.create_string_buffer(1024)
        n = self.functions.er_ring_read(self.views[1], chunk, 1024)
        assert n >= 0
        return chunk.raw[:n]


def port_of(library, segment, num_envs, spin=0.0):
    return NativePort(library, segment, 0, 1, num_envs, spin, True, 4)


def in_thread(function):
    """Runs a function in a thread; returns what waits for it and gives its result."""
    results = []

    def run():
        try:
            results.append((True, function()))
        except BaseException as error:
            results.append((False, error))

    thread = threading.Thread(target=run)
    thread.daemon = True
    thread.start()

    def result():
        thread.join(LIMIT)
        assert results, "it did not end"
        good, value = results[0]
        if not good:
            raise value
        return value

    return result


def commands_and_replies():
    library = open_library()
    segment = Segment(library, LEAF, 4)
    port, caller = port_of(library, segment, 2), Caller(library, segment, 2)
    assert port.next(0.0) is None
    seq = caller.post(OP_MESSAGE, 1, 3)
    assert port.next(LIMIT) == (OP_MESSAGE, seq, 1, 3)
    port.hint(1)
    assert port.finish(seq) is True
    assert caller.wait() == b""
    report = np.frombuffer(segment._map, np.uint32)[segment.header.off_workers // 4 :]
    assert report[:4].tolist() == [0, 0, 0, 1]  # reply bytes, infos, hints
    for size in (1, 1000, 1024, 5000):
        seq = caller.post(OP_MESSAGE)
        assert port.next(LIMIT) == (OP_MESSAGE, seq, 0, 0)
        reply = bytes(bytearray(i % 251 for i in range(size)))
        finished = in_thread(lambda seq=seq, reply=reply: port.finish(seq, reply))
        assert caller.wait() == reply
        assert finished() is True
        assert report[:4].tolist() == [size, 0, 0, 0]


def waiting_lets_other_threads_run():
    library = open_library()
    segment = Segment(library, LEAF, 4)
    port, caller = port_of(library, segment, 2, spin=0.4), Caller(library, segment, 2)
    waiting = in_thread(lambda: port.next(LIMIT))
    counted = sum(1 for _ in range(1000000))  # under the lock
    assert counted == 1000000
    seq = caller.post(OP_MESSAGE)
    assert waiting() == (OP_MESSAGE, seq, 0, 0)


def serve_steps():
    """Steps go by themselves; a message, a reply and the time end it."""
    library = open_library()
    env = Steady()
    envs = attached(library, [env, Steady()], LEAF)
    segment = envs.segment
    loop = compiled(library, envs)
    for spin in (0.0, 1e-4):
        port, caller = port_of(library, segment, 2, spin), Caller(library, segment, 2)
        assert loop.serve(port, 0.0) is None
        served = in_thread(lambda port=port: loop.serve(port, LIMIT))
        for number in range(200):
            caller.post(OP_STEP, number % 2)
            caller.wait()
        seq = caller.post(OP_MESSAGE, 1, 3)
        assert served() == (OP_MESSAGE, seq, 1, 3)
        port.finish(seq)
        caller.wait()
    stats = np.frombuffer(segment._map, np.uint64)[segment.header.off_workers // 8 + 16 :]
    batches, env_steps, busy_ns, wait_ns, _, _, slow_rows = stats[:7].tolist()
    assert (batches, env_steps, slow_rows) == (400, 800, 0)
    assert busy_ns > 0 and wait_ns > 0

    env.result = (env.obs, 1.0, False, False, {"odd": [1]})
    served = in_thread(lambda: loop.serve(port, LIMIT))
    seq = caller.post(OP_STEP)
    assert served() == (seq,)
    assert envs.has_reply
    assert list(envs.take_reply()["odd"]) == [1]
    port.finish(seq)
    caller.wait()

    env.result = (env.obs, 1.0, False, False, {})
    envs.actions.message = [0, 0]
    served = in_thread(lambda: loop.serve(port, LIMIT))
    caller.post(OP_STEP, 0, 1)  # actions from a message
    caller.wait()
    assert envs.actions.message is None
    seq = caller.post(OP_MESSAGE)
    assert served() == (OP_MESSAGE, seq, 0, 0)


class Taker(Steady):
    """Keeps its action."""

    def step(self, action):
        self.action = action
        return Steady.step(self, action)


def actions_are_found_while_serving():
    """However they travel: read in C, or by the reader that is also the reference."""
    library = open_library()
    ints = ("leaf", 0, "<i8", ())
    for plan, code in (
        (ints, 0),
        (ints, PYTHON_INTS),
        (ints, ord("f") << 8 | 4),
        (("leaf", 0, "<f4", ()), 0),
        (("leaf", 0, "<i4", ()), 0),
        (("leaf", 0, "<i4", ()), PYTHON_INTS),
        (("leaf", 0, "<f4", (2,)), 0),
        (("tuple", [ints, ("leaf", 1, "<f4", (2,))]), 0),
    ):
        envs = attached(library, [Taker(), Taker()], LEAF, action_plan=plan)
        envs.segment.action_slab.view(np.int64)[:] = 5  # narrower ones read 5, 0, 5, 0
        loop = compiled(library, envs)
        port, caller = port_of(library, envs.segment, 2), Caller(library, envs.segment, 2)
        expected = envs.actions.read(code)
        caller.post(OP_STEP, 0, code)
        assert loop.serve(port, 0.0) is None
        caller.wait()
        for env, wanted in zip(envs.envs, expected):
            assert (type(env.action), repr(env.action)) == (type(wanted), repr(wanted))


# -- what cannot be used --------------------------------------------------------------------------


def refusal(make, kind=NativeUnavailable):
    """The error that it is refused with."""
    try:
        make()
    except kind as error:
        return error
    raise AssertionError("it was not refused")


def unavailable(make):
    return str(refusal(make))


def libraries_that_cannot_be_used():
    assert "/nowhere.so" in unavailable(lambda: library.Library("/nowhere.so"))
    assert "not load" in unavailable(lambda: library.Library(__file__))
    # some library that is there for sure
    assert "another version" in unavailable(lambda: library.Library("libc.so.6"))
    known = structs.known
    for wrong in (known()[:-1], known()[1:], [9] + known()[1:]):
        structs.known = lambda wrong=wrong: wrong
        assert "other sources" in unavailable(lambda: library.Library(PATH))
    structs.known = known
    library.Library(PATH)


def segments_that_cannot_be_used():
    library = open_library()
    segment = Segment(library, LEAF, 4)
    library.check_segment(segment.address, segment.nbytes)
    port_of(library, segment, 2)
    for worker, first_env, num_envs in ((1, 0, 1), (0, 5, 1), (0, 3, 2)):
        slice_of = (worker, first_env, num_envs)
        error = refusal(
            lambda each=slice_of: NativePort(library, segment, *(each + (0.0, True, 4))), OSError
        )
        assert error.errno == errno.EINVAL
    segment.header.sealed = 99
    assert "ABI" in str(refusal(lambda: port_of(library, segment, 2), ValueError))


class NoPyDLL(object):
    """ctypes as PyPy has it."""

    def __init__(self, real):
        self.CDLL = real.CDLL


def loops_need_cpython():
    library = open_library()
    library.ctypes = NoPyDLL(library.ctypes)
    assert "CPython" in unavailable(library.python)


def pythons_that_are_laid_out_otherwise():
    """Each probe refuses what it does not know, and the reason is told."""
    library = open_library()
    envs = attached(library, [Steady()], LEAF)

    def reason():
        library._python = None
        return unavailable(lambda: NativeLoop(library, envs, envs.segment, [0], [0, 0, 0], None))

    word = cpython._word
    cpython._word = lambda address: 0
    assert "type" in reason()
    cpython._word = word

    array = cpython.Array
    # as if each array began one field later
    later = staticmethod(lambda at: array.from_address(at + 8))
    cpython.Array = type("Array", (), {"from_address": later})
    assert "numpy" in reason()
    cpython.Array = array

    address = cpython._address
    cpython._address = lambda *names: None if "PyDict_Next" in names else address(*names)
    assert "PyDict_Next" in reason()
    cpython._address = address
    library._python = None
    compiled(library, envs).step(0, 0)
    assert not envs.has_reply


def scalars_elsewhere_are_not_read():
    """A number type whose value is not where the others have it goes through Python."""
    library = open_library()
    python, _ = library.python()
    assert python.has_scalar(np.float32)
    assert not cpython.scalar_at(np.float32, python.table.offset_scalar_value - 8)
    python._scalars[np.float32] = False
    env = Steady()
    env.result = (np.float32(3), 1.0, False, False, {})
    envs = attached(library, [env], ("leaf", 0, "<f4", ()))
    loop = compiled(library, envs)
    loop.step(0, 0)
    assert loop.loop["slow_rows"] == 1
    assert envs.segment.slot_arrays(0)[0][0][1] == 3
    del python._scalars[np.float32]


if __name__ == "__main__":
    main(globals(), sys.argv[2:])
