# SPDX-License-Identifier: MIT
"""The picture of a run."""

import pytest

from envring.bench import plot


@pytest.mark.parametrize("lost", [(), ("async",), ("envring", "async", "sync", "bare")])
def test_the_picture_is_drawn_whoever_failed(result, hardware, tmp_path, lost):
    result.samples = [each for each in result.samples if each.peer not in lost]
    path = tmp_path / "found.png"
    plot.draw(path, [result, result], hardware)
    assert path.read_bytes().startswith(b"\x89PNG")
