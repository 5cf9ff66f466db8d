# SPDX-License-Identifier: MIT
"""Long frames are packed where the link is slow, and nowhere else; values stay the same."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

import envring
from envring import EnvringError, EnvSource, WireError
from envring.testing import assert_same_batch
from envring.transport import frames, packing
from envring.transport.frames import Link
from envring.transport.packing import Packing
from support.callers import until
from support.damage import damaged_bytes, examples
from support.processes import peak_memory
from support.proxy import Proxy

PICTURES = f"{Path(__file__).parent.parent / 'support' / 'plain_pictures.py'}:make"
NUM_ENVS = 4
BODY = bytes(1000) * 40
PACKED = zstandard.compress(BODY)
SLOW = 1 << 20
MOST_STEPS = 200


@pytest.fixture
def links():
    """Two ends that both can pack."""
    ours, theirs = (Link(sock, "peer") for sock in socket.socketpair())
    for link in (ours, theirs):
        link.packing = Packing()
        link.max_frame = 1 << 20
    yield ours, theirs
    ours.close()
    theirs.close()


def receive(link, place=lambda head: ()):
    return link.receive(until(), place)


class TestLinks:
    def test_both_directions(self, links):
        rows = np.zeros(30000, np.uint8)
        body = [np.arange(30000).astype(np.uint8).data, b"and the rest" * 1000]
        for link, other in (links, links[::-1]):
            link.packing.peer_rate = SLOW
            link.send(frames.RESULT, body, flags=frames.ARRAYS, number=7)
            assert other.can_read()
            frame = receive(other, lambda head: [rows.data])
            assert bytes(rows.data) + frame.body == b"".join(body)
            assert frame.head == (frames.RESULT, frames.ARRAYS, 7, 42000)
            rows[:] = 0
        assert links[0].packing._turn == links[1].packing._turn == 1

    def test_short_bodies_and_fast_links(self, links):
        link, _ = links
        link.packing.peer_rate = SLOW
        assert link.packing.pack([b"x" * 1000], 1000) is None
        link.packing.peer_rate = 0
        assert link.packing.pack([BODY], len(BODY)) is None

    def test_what_does_not_shrink_is_tried_again_later(self):
        link_packing = Packing()
        link_packing.peer_rate = SLOW
        noise = os.urandom(20000)
        assert all(link_packing.pack([noise], len(noise)) is None for _ in range(40))
        found = [link_packing.pack([BODY], len(BODY)) for _ in range(100)]
        assert found[0] is None
        assert found[99] is not None
        # and now and then one is sent as it is, to measure the link
        assert None in [link_packing.pack([BODY], len(BODY)) for _ in range(64)]

    def test_packing_that_takes_longer_than_sending(self, monkeypatch):
        link_packing = Packing()
        link_packing.peer_rate = int(190e6)
        clock = iter(range(100))
        monkeypatch.setattr(packing.time, "perf_counter", lambda: next(clock))
        assert all(link_packing.pack([BODY], len(BODY)) is None for _ in range(10))

    def test_the_rate_is_told(self, links):
        link, other = links
        for seconds in (0.5,) * 8:
            assert link.packing.rate == 0
            link.packing.came(1 << 20, seconds)
        assert link.packing.rate == 2 << 20
        link.send_if_free(frames.ALIVE, 1)
        receive(other)
        assert other.packing.peer_rate == 2 << 20
        link.packing.came(1 << 20, 0.001)
        link.send(frames.STEP, [b"x"])
        receive(other)
        assert other.packing.peer_rate == 0

    def test_time_outside_is_not_the_links(self, links):
        link, other = links
        frame = frames._HEAD.pack(len(BODY), frames.RESULT, 0, 0, 0, 0) + BODY
        for part in (frame[:100], frame[100:]):
            link._sock.sendall(part)
            time.sleep(0.4)
            with contextlib.suppress(TimeoutError):
                other.receive(time.monotonic())
        assert other.packing._rates[-1] > len(BODY) / 0.3

    def test_without_the_feature(self, links):
        link, other = links
        for head in (
            (8, frames.RESULT, frames.PACKED, 0, 0, 0),
            (8, frames.RESULT, 0, 0, 1, 0),
        ):
            other.packing = None
            link._sock.sendall(frames._HEAD.pack(*head) + bytes(8))
            with pytest.raises(WireError, match="not a frame"):
                receive(other)
            receive_rest(other)

    @pytest.mark.parametrize(
        ("theirs", "yes"),
        [
            (["zstd"], True),
            (["lz4", "zstd"], True),
            ([], False),
            (None, False),
            ([np.zeros(2)], False),
        ],
    )
    def test_what_both_ends_have(self, theirs, yes, monkeypatch):
        assert isinstance(packing.agreed(theirs), Packing) == yes
        monkeypatch.setattr(packing, "features", list)
        assert packing.agreed(theirs) is None


def receive_rest(link):
    link._at = link._end = 0


def bomb(length):
    """A packed body that says that it holds so many bytes, and does."""
    block = struct.pack("<I", 1 << 1 | (1 << 17) << 3)[:3] + b"\0"  # 2^17 zeros
    count = length >> 17
    last = struct.pack("<I", 1 | 1 << 1 | (length - (count << 17)) << 3)[:3] + b"\0"
    return b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", length) + block * count + last


class TestHostileBodies:
    def test_a_bomb(self, links):
        """It is refused before memory is taken for it."""
        assert Packing.unpack(bomb(1 << 20), 1 << 20) == bytes(1 << 20)
        before = peak_memory()
        for length in ((1 << 20) + 1, 1 << 30, 1 << 40, (1 << 63) - 1):
            link, other = links
            body = bomb(min(length, 1 << 30))
            body = body[:5] + struct.pack("<Q", length) + body[13:]
            link._sock.sendall(frames._HEAD.pack(len(body), frames.RESULT, 128, 0, 0, 0) + body)
            with pytest.raises(WireError, match="1048576 are allowed"):
                receive(other)
        assert peak_memory() - before < 50 << 20

    def test_a_body_that_is_longer_than_it_says(self):
        body = bomb(1 << 20)
        with pytest.raises(WireError, match="cannot be unpacked"):
            Packing.unpack(body[:5] + struct.pack("<Q", 1000) + body[13:], 1 << 20)

    @pytest.mark.parametrize("body", [b"", PACKED[:4], PACKED[:-3], PACKED * 2])
    def test_bodies_that_are_cut_off_or_go_on(self, body):
        with pytest.raises(WireError):
            Packing.unpack(body, 1 << 20)

    def test_a_body_that_does_not_say_its_length(self):
        packed = zstandard.ZstdCompressor(write_content_size=False).compress(BODY)
        with pytest.raises(WireError):
            Packing.unpack(packed, 1 << 20)

    def test_a_batch_that_is_too_short(self, links):
        link, other = links
        link.packing.peer_rate = SLOW
        link.send(frames.RESULT, [BODY])
        with pytest.raises(WireError, match="too short"):
            receive(other, lambda head: [memoryview(bytearray(len(BODY) + 1))])

    @examples(100)
    @given(data=st.data())
    def test_any(self, data):
        body = data.draw(damaged_bytes(PACKED))
        with contextlib.suppress(WireError):
            assert len(Packing.unpack(body, 1 << 20)) <= 1 << 20

    @examples(20)
    @given(data=st.data())
    def test_any_on_a_link(self, data):
        ours, theirs = (Link(sock, "peer") for sock in socket.socketpair())
        theirs.packing, theirs.max_frame = Packing(), 1 << 20
        head = frames._HEAD.pack(len(PACKED), frames.RESULT, 128, 0, 0, 0)
        with contextlib.closing(theirs), contextlib.closing(ours):
            ours._sock.sendall(data.draw(damaged_bytes(head + PACKED)))
            ours.shut_down()
            with contextlib.suppress(EnvringError, OSError):
                while True:
                    receive(theirs, lambda head: [memoryview(bytearray(head.length // 2))])


# -- hosts ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def host():
    with envring.serve(PICTURES, grace=0.2) as host:
        yield host


def pictures(remotes, **kwargs):
    sources = [EnvSource.elsewhere(PICTURES, kwargs=kwargs)] * NUM_ENVS
    return envring.RingVectorEnv(sources, remotes=remotes, num_workers=1)


def packing_of(envs):
    return envs._batcher.pool._link.packing


def actions(number):
    """A batch that shrinks well."""
    found = np.zeros((NUM_ENVS, 4096))
    found[:, 0] = number % 5
    return found


@pytest.mark.usefixtures("no_sessions_left")
class TestHosts:
    def test_a_slow_link(self, host):
        """Values are those of local envs, and steps take less time than without packing."""
        local = envring.RingVectorEnv([EnvSource(PICTURES)] * NUM_ENVS, num_workers=1)
        with Proxy(host.url, rate=4e6) as proxy:
            envs = pictures(proxy.url)
            assert_same_batch(envs.reset(seed=1), local.reset(seed=1))
            plain, packed = [], []
            for number in range(MOST_STEPS):
                before, began = proxy.carried, time.monotonic()
                batch = envs.step(actions(number))
                seconds, carried = time.monotonic() - began, proxy.carried - before
                assert_same_batch(batch, local.step(actions(number)))
                if carried > 200_000:
                    plain.append(seconds)
                elif carried < 20_000:  # observations and actions are packed
                    packed.append(seconds)
                if len(packed) == 4:
                    break
            assert len(plain) >= 7  # the reset may have been the first of eight that are measured
            assert min(packed) < min(plain) / 2
            envs.close()
            local.close()

    def test_a_link_that_becomes_fast(self, host):
        with Proxy(host.url, rate=10e6) as proxy:
            envs = pictures(proxy.url)
            envs.reset(seed=1)
            for rate, slow in ((10e6, True), (0, False)):
                proxy.set_rate(rate)
                for number in range(MOST_STEPS):
                    envs.step(actions(number))
                    if packing_of(envs).is_slow == slow:
                        break
                assert packing_of(envs).is_slow == slow
            envs.close()

    def test_what_does_not_shrink(self, host):
        with Proxy(host.url, rate=20e6) as proxy:
            envs = pictures(proxy.url, noise=True)
            envs.reset(seed=1)
            for number in range(20):
                envs.step(actions(number))
            before = proxy.carried
            envs.step(actions(1))
            assert proxy.carried - before > 100_000  # of 112896
            envs.close()

    def test_loopback(self, host, tmp_path):
        with envring.serve(PICTURES, listen=f"unix://{tmp_path}/socket") as other:
            for url in (host.url, other.url):
                envs = pictures(url)
                envs.reset(seed=1)
                slow = 0
                for number in range(60):
                    envs.step(actions(number))
                    slow += packing_of(envs).is_slow or envs._batcher._path.paused
                assert slow < 20  # some, where this process has to wait for a CPU
                envs.close()

    @pytest.mark.parametrize("who", ["caller", "host"])
    def test_one_end_without_the_library(self, host, who, monkeypatch):
        def features():
            is_caller = threading.current_thread() is threading.main_thread()
            return [] if is_caller == (who == "caller") else ["zstd"]

        monkeypatch.setattr(packing, "features", features)
        with Proxy(host.url, rate=20e6) as proxy:
            envs = pictures(proxy.url)
            envs.reset(seed=1)
            for number in range(20):
                envs.step(actions(number))
            before = proxy.carried
            envs.step(actions(1))
            assert proxy.carried - before > 200_000
            envs.close()
