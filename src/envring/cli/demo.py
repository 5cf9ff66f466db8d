# SPDX-License-Identifier: MIT
"""`envring demo`: many envs, to look at while they are stepped."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import click
import gymnasium

from envring.api.making import make_vec
from envring.api.vector import RingVectorEnv
from envring.demo import pictures, recording, screen
from envring.demo.playing import Count, play

_PICTURES_PER_SECOND = 20.0
_SECONDS = 10.0
_NO_WINDOW = {"SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy"}  # pygame would look for one


@click.command()
@click.argument("env_id", metavar="ENV", default="CartPole-v1")
@click.option(
    "--envs", type=click.IntRange(1, 4096), default=64, show_default=True, help="how many envs"
)
@click.option(
    "--workers", type=click.IntRange(1), help="how many processes  [default: one per CPU]"
)
@click.option(
    "--seconds", type=click.FloatRange(0, min_open=True),
    help=f"when to end  [default: at Ctrl-C; {_SECONDS:g} without a terminal or with --video]",
)  # fmt: skip
@click.option("--pace", type=click.IntRange(1), help="steps of each env between two pictures  "
              "[default: as many as it can; 1 with --video]")  # fmt: skip
@click.option("--video", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
              help="also record the pictures: a .gif, .webp or .png that moves")  # fmt: skip
@click.option("--no-frames", is_flag=True, help="rates only: envs do not draw themselves")
def demo(
    env_id: str,
    envs: int,
    workers: int | None,
    seconds: float | None,
    pace: int | None,
    video: Path | None,
    no_frames: bool,
) -> None:
    """Step many envs with random actions and show them, with their rates, until Ctrl-C.

    ENV is an id of Gymnasium's ("module:Env-v0" imports the module first). Its frames are drawn in
    the workers and shown as coloured half blocks. Without a terminal it prints a line per second.
    """
    live = sys.stdout.isatty()
    _check(live, video, no_frames)
    if seconds is None and (video is not None or not live):
        seconds = _SECONDS
    if pace is None and video is not None:
        pace = 1
    drawn = not no_frames and (live or video is not None)
    record = recording.Recording(video, _PICTURES_PER_SECOND)
    with contextlib.closing(_make(env_id, envs, workers, drawn)) as made:
        title = f"{env_id}: {envs} envs in {made.num_workers} workers"
        view = screen.Screen(title) if live else screen.Lines(title)
        count: Count | None = None
        began = time.monotonic()
        with contextlib.suppress(KeyboardInterrupt), record, view:
            stats = made.stats()
            for count in play(made, 1 / _PICTURES_PER_SECOND if drawn else 1.0, pace):
                whole = pictures.grid(made.render() or ()) if drawn else None
                if video is not None and whole is not None:
                    record.add(whole)
                now = time.monotonic() - began
                view.show(now, count, made.stats().since(stats), whole)
                if seconds is not None and now >= seconds:
                    break
    if count is not None:
        click.echo(f"{title}: {screen.summary(count)}")
    if video is not None:
        click.echo(f"{video}: {len(record)} pictures")


def _check(live: bool, video: Path | None, no_frames: bool) -> None:
    """Refuses what cannot be done before anything starts."""
    if live and importlib.util.find_spec("rich") is None:
        raise click.ClickException(
            "envring demo draws with rich: pip install 'envring[demo]'. "
            "Without a terminal (envring demo | cat) it prints plain lines."
        )
    if video is None:
        return
    if no_frames:
        raise click.UsageError("--video needs frames: leave --no-frames out")
    if video.suffix not in recording.FORMATS:
        known = ", ".join(recording.FORMATS)
        raise click.UsageError(f"{str(video)!r} ends with none of {known}")
    if not video.absolute().parent.is_dir():
        raise click.UsageError(f"there is no directory {str(video.absolute().parent)!r}")
    if importlib.util.find_spec("PIL") is None:
        raise click.ClickException("--video needs Pillow: pip install 'envring[demo]'")


def _make(env_id: str, envs: int, workers: int | None, drawn: bool) -> RingVectorEnv[Any, Any]:
    kwargs: dict[str, Any] = {"render_mode": "rgb_array"} if drawn else {}
    wrappers = [pictures.Thumbnails] if drawn else []
    try:
        made = make_vec(
            env_id, envs, num_workers=workers, wrappers=wrappers, worker_env=_NO_WINDOW, **kwargs
        )
    except (gymnasium.error.Error, ImportError) as error:
        raise click.ClickException(f"{env_id} cannot be made: {error}") from error
    except TypeError as error:
        if not drawn or "render_mode" not in str(error):
            raise
        raise _cannot_draw(env_id, error) from error
    if not drawn:
        return made
    try:
        made.reset()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Gymnasium's, with a traceback; the error says it
            made.call("render", indices=[0])
    except BaseException as error:
        made.close()
        if not isinstance(error, Exception):
            raise
        raise _cannot_draw(env_id, error) from error
    return made


def _cannot_draw(env_id: str, error: Exception) -> click.ClickException:
    return click.ClickException(
        f"{env_id} does not draw itself: {type(error).__name__}: {error}\n"
        "With --no-frames its rates are shown alone."
    )
