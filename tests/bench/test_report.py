# SPDX-License-Identifier: MIT
"""The tables of a run."""

import io
import json

import pytest
from rich.console import Console

from envring.bench import report


def shown(results, hardware):
    console = Console(file=io.StringIO(), width=80, color_system=None)
    report.show(console, results, hardware)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.5, "0.5"),
        (999, "999"),
        (999.9, "1 k"),
        (12345, "12.3 k"),
        (999_900, "1 M"),
        (2.5e9, "2.5 G"),
    ],
)
def test_short_has_three_figures(value, text):
    assert report.short(value) == text


def test_a_range_names_a_shared_unit_once():
    assert report.between(1200, 1300) == "1.2 to 1.3 k"
    assert report.between(900, 1300) == "900 to 1.3 k"
    assert report.between(1200, 1201) == "1.2 k"


def test_the_table_shows_every_figure_at_80_columns(result, hardware):
    line = next(line for line in shown([result], hardware).splitlines() if "RingVectorEnv" in line)
    assert " ".join(line.split()) == "RingVectorEnv 600 k 450 to 750 k 30x 2x 0.75"


def test_the_table_names_a_failure_beside_the_other_figures(result, hardware):
    result.samples = [each for each in result.samples if each.peer != "async"]
    result.failures["async"] = "hung [red]somewhere"
    text = shown([result], hardware)
    assert "AsyncVectorEnv: hung [red]somewhere" in text
    line = next(line for line in text.splitlines() if "RingVectorEnv" in line)
    assert " ".join(line.split()) == "RingVectorEnv 600 k 450 to 750 k - 2x 0.75"


def test_the_table_says_when_the_machine_was_busy(result, hardware, sample):
    assert "DISTURBED" not in shown([result], hardware)
    result.samples.append(sample("sync", 3, 1000, outside=0.8))
    assert "DISTURBED: other programs held 0.80 cores" in shown([result], hardware)


def test_json_holds_every_sample_and_the_machine(result, hardware, tmp_path):
    path = tmp_path / "found.json"
    report.write_json(path, [result], hardware, goals=[])
    document = json.loads(path.read_text())
    assert document["machine"] == hardware
    assert document["goals"] == []
    assert len(document["cells"][0]["samples"]) == 12
    assert document["cells"][0]["samples"][0]["rate"] == 300_000
