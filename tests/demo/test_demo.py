# SPDX-License-Identifier: MIT
"""`envring demo`: envs stepped and shown, on a terminal and without one."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import envring as package
from envring.cli import demo as command
from envring.cli.commands import command as envring
from envring.demo import pictures, playing
from envring.testing import CountingEnv

LINE = re.compile(r" +[\d.]+ s  ([\d,]+) env steps/s   ([\d,]+) steps, ([\d,]+) episodes")


def demo(*arguments, **options):
    arguments = [sys.executable, "-m", "envring.cli", "demo", *map(str, arguments)]
    return subprocess.run(
        arguments, capture_output=True, text=True, timeout=50, check=False, **options
    )


def number(text):
    return int(text.replace(",", ""))


# -- pictures ------------------------------------------------------------------------------------


def test_pixels_of_a_smaller_picture_are_means():
    picture = np.zeros((4, 6, 3), np.uint8)
    picture[:2, :3] = 200
    picture[2:, 3:, 1] = [[10, 20, 30], [40, 50, 60]]
    small = pictures.shrink(picture, 2, 2)
    assert small.tolist() == [[[200] * 3, [0] * 3], [[0] * 3, [0, 35, 0]]]


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 7)])
def test_smaller_pictures_of_one_colour_have_that_colour(size):
    small = pictures.shrink(np.full((5, 7, 3), 255, np.uint8), *size)
    assert small.shape == (*size, 3) and small.dtype == np.uint8
    assert (small == 255).all()


def test_a_grid_holds_every_frame_in_order():
    frames = [np.full((8, 12, 3), 100 + n, np.uint8) for n in range(64)]
    whole = pictures.grid(frames)
    seen = list(dict.fromkeys(whole[:, :, 0].ravel().tolist()))
    assert [value for value in seen if value >= 100] == [100 + n for n in range(64)]
    assert all((whole == 100 + n).sum() == 8 * 12 * 3 for n in range(64))


def test_frames_of_other_sizes_do_not_disturb_a_grid():
    frames = [np.full((4, 4, 3), 200, np.uint8), np.full((9, 2, 3), 100, np.uint8)]
    whole = pictures.grid(frames)
    assert ((whole == 200).sum(), (whole == 100).sum()) == (4 * 4 * 3, 4 * 2 * 3)


def test_half_blocks_fit_and_show_two_pixels_each():
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[20:] = (1, 2, 3)
    lines = pictures.half_blocks(picture, 30, 30)
    assert len(lines) == 10 and {len(line) for line in lines} == {30}
    assert set(lines[0]) == {(0, 0, 0, 0, 0, 0)}
    assert set(lines[9]) == {(1, 2, 3, 1, 2, 3)}
    small = pictures.half_blocks(picture, 4, 1)
    assert len(small) == 1 and set(small[0]) == {(0, 0, 0, 1, 2, 3)}


# -- counting ------------------------------------------------------------------------------------


def test_counts_are_those_of_the_envs():
    envs = package.RingVectorEnv([CountingEnv] * 3, num_workers=2)
    try:
        counts = playing.play(envs, 1.0, pace=7)
        count = [next(counts) for _ in range(5)][-1]
        assert envs.stats().env_steps == 3 * 35
    finally:
        envs.close()
    # an episode is three steps, then a step resets: eight times, and three steps more
    assert (count.steps, count.episodes) == (3 * (8 * 3 + 3), 3 * 9)
    assert count.rate > 0 and count.mean_rate > 0


# -- the command ---------------------------------------------------------------------------------


def test_without_a_terminal_lines_are_printed_and_it_ends():
    done = demo("--envs", 5, "--workers", 2, "--seconds", 1.5)
    assert (done.returncode, done.stderr) == (0, "")
    title, *lines, last = done.stdout.splitlines()
    assert title == "CartPole-v1: 5 envs in 2 workers"
    found = [LINE.match(line) for line in lines]
    assert found and all(found)
    steps = [number(each[2]) for each in found]
    assert steps == sorted(steps) and steps[0] > 100
    assert last.startswith("CartPole-v1: 5 envs in 2 workers: ")
    assert not re.search(r"\x1b|▀", done.stdout)


@pytest.mark.parametrize("suffix", ["gif", "webp"])
def test_a_video_shows_every_step(suffix, tmp_path):
    path = tmp_path / f"grid.{suffix}"
    done = demo("--envs", 4, "--workers", 2, "--seconds", 1, "--video", path)
    assert (done.returncode, done.stderr) == (0, "")
    count = int(re.search(rf"^{path}: (\d+) pictures$", done.stdout, re.MULTILINE)[1])
    assert count > 3
    assert number(re.search(r": ([\d,]+) steps at", done.stdout)[1]) <= 4 * count
    with Image.open(path) as image:
        assert 1 < image.n_frames <= count  # equal ones that follow each other are kept as one
        first = np.asarray(image.convert("RGB"))
        image.seek(image.n_frames - 1)
        assert (first != np.asarray(image.convert("RGB"))).any()
    height, width, _ = first.shape
    assert width > height > 2 * 60


def on_terminal(*arguments, until, then=None, seconds=40):
    """What the command writes to a terminal, and its exit code; a signal when `until` was seen."""
    main, other = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "envring.cli", "demo", *map(str, arguments)],
        stdin=other, stdout=other, stderr=subprocess.STDOUT, start_new_session=True,
        env=os.environ | {"TERM": "xterm-256color", "COLORTERM": "truecolor",
                          "COLUMNS": "80", "LINES": "24"},
    )  # fmt: skip
    os.close(other)
    written, deadline = b"", time.monotonic() + seconds
    try:
        while time.monotonic() < deadline:
            if select.select([main], [], [], 0.1)[0]:
                try:
                    written += os.read(main, 1 << 16)
                except OSError:  # the other end is closed: that is how a terminal ends
                    break
            if then is not None and until in written:
                process.send_signal(then)
                then = None
        return written.decode("utf-8", "replace"), process.wait(10)
    finally:
        process.kill()
        process.wait()
        os.close(main)


def test_ctrl_c_ends_the_live_view(tmp_path):
    path = tmp_path / "grid.gif"
    shown, code = on_terminal(
        "--envs", 6, "--workers", 2, "--video", path, "--seconds", 60,
        until="▀".encode() * 3, then=signal.SIGINT,
    )  # fmt: skip
    assert code == 0
    assert "CartPole-v1: 6 envs in 2 workers" in shown and "env steps/s" in shown
    assert "\x1b[38;2;" in shown  # colours
    assert "\x1b[?1049h" in shown and shown.index("\x1b[?1049l") > shown.index("\x1b[?1049h")
    assert "Traceback" not in shown and "Aborted" not in shown
    with Image.open(path) as image:
        assert image.size[0] > 100


def test_a_terminal_too_small_is_no_trouble():
    frames = [np.full((64, 96, 3), 9, np.uint8)] * 64
    assert len(pictures.half_blocks(pictures.grid(frames), 3, 1)) == 1


def refused(*arguments):
    done = CliRunner().invoke(envring, ["demo", *map(str, arguments)])
    assert done.exit_code in (1, 2) and isinstance(done.exception, SystemExit)
    return done.output


def test_without_rich_it_says_what_to_install(monkeypatch):
    find = command.importlib.util.find_spec
    monkeypatch.setattr(
        command.importlib.util, "find_spec", lambda name: None if name == "rich" else find(name)
    )
    with pytest.raises(command.click.ClickException, match=r"pip install 'envring\[demo\]'"):
        command._check(True, None, False)
    command._check(False, None, False)


def test_unknown_envs_are_named():
    assert "NoSuchEnv-v0 cannot be made" in refused("NoSuchEnv-v0")


NO_RENDERER = """
import sys
sys.modules["pygame"] = None
from envring.cli import main
sys.argv = ["envring", "demo", "--envs", "2", "--workers", "1", "--video", sys.argv[1]]
main()
"""


def test_without_its_renderer_an_env_is_named_and_nothing_is_written(tmp_path):
    path = tmp_path / "a.gif"
    done = subprocess.run(
        [sys.executable, "-c", NO_RENDERER, path], capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 1
    assert "CartPole-v1 does not draw itself: DependencyNotInstalled: pygame" in done.stderr
    assert "--no-frames" in done.stderr and "Traceback" not in done.stderr
    assert not path.exists()


@pytest.mark.parametrize(
    ("video", "text"), [("a.avi", "none of .gif"), ("missing/a.gif", "there is no directory")]
)
def test_videos_that_cannot_be_written_are_refused_first(video, text, tmp_path):
    assert text in refused("--video", tmp_path / video)


def test_frames_left_out_are_no_video(tmp_path):
    assert "leave --no-frames out" in refused("--no-frames", "--video", tmp_path / "a.gif")


def test_an_env_that_gives_text_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    (tmp_path / "speaking.py").write_text(
        "import gymnasium\n"
        "from envring.testing import CountingEnv\n"
        "class Speaking(CountingEnv):\n"
        "    metadata = {'render_modes': ['rgb_array']}\n"
        "    def __init__(self, render_mode=None):\n"
        "        super().__init__()\n"
        "        self.render_mode = render_mode\n"
        "    def render(self):\n"
        "        return 'text'\n"
        "gymnasium.register('Speaking-v0', Speaking)\n"
    )
    done = demo("speaking:Speaking-v0", "--envs", 2, "--video", tmp_path / "a.gif")
    assert done.returncode == 1
    assert "does not draw itself: TypeError: render() gave a str" in done.stderr
