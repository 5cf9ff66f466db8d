# SPDX-License-Identifier: MIT
"""HTTP and WebSockets themselves: TLS, mounting, hostile callers."""

import asyncio
import contextlib
import gc
import os
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

import envring
from envring import AddressError
from envring.gateways.certificates import make
from support.processes import wait_until

pytest.importorskip("starlette", reason="the wires over HTTP stay unchecked")
pytest.importorskip("uvicorn", reason="the wires over HTTP stay unchecked")
websockets = pytest.importorskip("websockets.sync.client")
ConnectionClosed = pytest.importorskip("websockets.exceptions").ConnectionClosed

LISTEN = "http://127.0.0.1:0"


@pytest.fixture(scope="module")
def host():
    with envring.serve("CartPole-v1", listen=LISTEN, handshake_timeout=0.3) as host:
        with urllib.request.urlopen(f"{host.url}/schema", timeout=20):
            pass  # now it has the thread that it keeps for such calls
        yield host


def connect(host, **options):
    url = host.url.replace("http", "ws", 1)
    return websockets.connect(f"{url}/ws", proxy=None, **options)


def test_tls(tmp_path):
    make(tmp_path, ["127.0.0.1"])
    files = {"cert": tmp_path / "server.pem", "certkey": tmp_path / "server.key"}
    with envring.serve("CartPole-v1", listen="https://127.0.0.1:0", **files) as host:
        tls = ssl.create_default_context(cafile=tmp_path / "ca.pem")
        with urllib.request.urlopen(f"{host.url}/health", context=tls, timeout=20) as response:
            assert response.status == 200
        with connect(host, ssl=tls) as session:
            session.send('{"type":"reset","data":{"seed":0}}')
            assert "observation" in session.recv(timeout=20)
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            urllib.request.urlopen(f"{host.url}/health", timeout=20)


@pytest.mark.parametrize(
    ("listen", "words"),
    [
        ("https://127.0.0.1:0", "needs a certificate"),
        ("http://0.0.0.0:0", "can be reached by others"),
        ("http://127.0.0.1:0?key=env:KEY", "has an option 'key'"),
    ],
)
def test_addresses_that_cannot_be_served(listen, words):
    with pytest.raises(AddressError, match=words):
        envring.serve("CartPole-v1", listen=listen)


def test_callers_of_ours_are_told(host):
    with pytest.raises(AddressError, match="callers of other projects"):
        envring.make("CartPole-v1", remotes=host.url)


def test_nothing_is_imported_before_it_is_asked_for():
    script = """
import sys
import envring
host = envring.serve("CartPole-v1")
host.close()
found = {"starlette", "uvicorn", "websockets", "orjson", "asyncio.base_events"} & set(sys.modules)
assert not found - {"asyncio.base_events"}, found
sys.modules["uvicorn"] = None
try:
    envring.serve("CartPole-v1", listen="http://127.0.0.1:0")
except envring.AddressError as error:
    assert "needs uvicorn" in str(error) and "envring[web]" in str(error), error
else:
    raise SystemExit("it was served")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=45
    )
    assert done.returncode == 0, done.stderr


def test_it_can_be_mounted():
    from starlette.applications import Starlette

    async def get(app, path):
        sent = []
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "query_string": b"",
            "root_path": "",
            "headers": [],
            "client": ("127.0.0.1", 1),
        }

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message):
            sent.append(message)

        await app(scope, receive, send)
        return sent[0]["status"], sent[1]["body"]

    with envring.serve("CartPole-v1", listen=()) as host:
        app = Starlette()
        app.mount("/envs", host.asgi())
        assert asyncio.run(get(app, "/envs/health")) == (200, b'{"status":"healthy"}')
        assert asyncio.run(get(app, "/health"))[0] == 404


@pytest.mark.parametrize(
    "start", [b"", b"GET /health HTTP/1.1\r\nHost: a\r\n", b"GET /hea", b"\x16\x03\x01\x00"]
)
def test_requests_that_never_end_are_given_up(host, start):
    address = host.url.removeprefix("http://").split(":")
    with socket.create_connection((address[0], int(address[1])), timeout=20) as sock:
        sock.sendall(start)
        with contextlib.suppress(ConnectionResetError):
            while sock.recv(4096):
                pass


def test_messages_that_are_too_long_close_the_connection(host):
    with connect(host) as session:
        with contextlib.suppress(ConnectionClosed):
            session.send("[" * (17 << 20))
        # the reason is lost where the rest of the message is still under way
        with pytest.raises(ConnectionClosed, match="1009|no close frame"):
            session.recv(timeout=20)
    with connect(host) as session:
        session.send('{"type":"state"}')
        assert "step_count" in session.recv(timeout=20)


def test_fragments_are_one_message(host):
    with connect(host) as session:
        session.send(iter(['{"type":', '"state"', "}"]))
        assert session.recv(timeout=20) == (
            '{"type":"state","data":{"episode_id":null,"step_count":0}}'
        )


def test_silent_sessions_stay(host):
    with connect(host) as session:
        time.sleep(3 * host.options.handshake_timeout)
        session.send('{"type":"state"}')
        assert "step_count" in session.recv(timeout=20)


def test_callers_that_are_cut_off_leave_nothing(host):
    for _ in range(3):
        with connect(host) as session:
            session.send('{"type":"reset","data":{}}')
            session.recv(timeout=20)
            session.send('{"type":"step","data":{"value":0}}')
            session.socket.shutdown(socket.SHUT_RDWR)
    wait_until(lambda: not len(host.sessions), 20, "sessions have ended")


def test_requests_over_one_connection(host):
    """From the second one on they have a thread of their own; the wires are the same."""
    import http.client
    import json

    line = http.client.HTTPConnection(host.url.removeprefix("http://"), timeout=20)
    with contextlib.closing(line):

        def ask(path, body=None, **headers):
            data = None if body is None else json.dumps(body)
            line.request("GET" if body is None else "POST", path, data, headers)
            with line.getresponse() as response:
                data = response.read()
                is_json = response.headers["content-type"] == "application/json"
                return response.status, json.loads(data) if is_json else None

        for number in range(3):
            name = ask("/v1/envs/", {"env_id": "CartPole-v1"})[1]["instance_id"]
            ask(f"/v1/envs/{name}/reset/", {})
            assert ask(f"/v1/envs/{name}/step/", {"action": number % 2})[0] == 200
            assert ask(f"/v1/envs/{name}/step/", {})[0] == 400
            assert ask(f"/v1/envs/{name}/close/", {}) == (204, None)
            assert ask("/make", {"env_key": "k", "env_id": "CartPole-v1"})[0] == 200
            assert len(ask("/reset", {"env_key": "k"})[1]["observation"]) == 4
            assert ask("/close", {"env_key": "k"})[0] == 200
            assert "done" in ask("/reset", {})[1]  # OpenEnv's
            assert ask("/health") == (200, {"status": "healthy"})
            assert ask("/health", Origin="http://evil.example")[0] == 403
            assert ask("/nothing", {})[0] == 405
        line.request("HEAD", "/health")
        with line.getresponse() as response:
            assert response.status in (200, 405) and response.read() == b""


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x00\x01\x02\r\n\r\n", b"400"),
        (b"POST /step HTTP/1.1\r\nA: " + b"x" * 70_000, b"431"),
        (b"POST /step HTTP/1.1\r\n" + b"A: b\r\n" * 20_000, b"431"),
        (b"POST /step HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n" + b" " * (1 << 25), b"413"),
        (b"POST /step HTTP/1.1\r\nHost: a\r\n", b""),
    ],
)
def test_second_requests_that_are_wrong(host, data, status):
    place = host.url.removeprefix("http://").split(":")
    with socket.create_connection((place[0], int(place[1])), timeout=20) as sock:
        sock.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"200 OK" in sock.recv(1000)
        time.sleep(0.1)
        with contextlib.suppress(ConnectionError):
            sock.sendall(data)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while chunk := sock.recv(1000):
                answer += chunk
        assert status in answer[:40]


def test_requests_one_after_the_other_without_waiting(host):
    place = host.url.removeprefix("http://").split(":")
    with socket.create_connection((place[0], int(place[1])), timeout=20) as sock:
        request = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
        sock.sendall(request)
        assert b"200 OK" in sock.recv(1000)
        time.sleep(0.1)
        last = request.replace(b"Host", b"Connection: close\r\nHost")
        sock.sendall(request * 3 + last)
        answer = b""
        while chunk := sock.recv(1000):
            answer += chunk
        assert answer.count(b"200 OK") == 4


@pytest.mark.parametrize("name", ["Gymie", "JSON requests"])
def test_an_env_that_has_ended_is_not_kept_for_the_collector(host, name):
    pytest.importorskip("msgpack")
    from support.web_callers import drive

    def memories():
        links = (f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd"))
        return sum("memfd" in os.readlink(link) for link in links if os.path.islink(link))

    gc.collect()
    before = memories()
    gc.disable()
    try:
        drive(host.url, name, 1)
        wait_until(lambda: memories() <= before, 10, "its memory is given back")
    finally:
        gc.enable()
