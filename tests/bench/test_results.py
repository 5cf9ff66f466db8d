# SPDX-License-Identifier: MIT
"""What a run found survives its JSON document, and documents that are none are refused."""

import json
import re
from dataclasses import replace

import pytest

from envring.bench.measuring.results import Document, read, write
from envring.bench.measuring.samples import CellResult, Footprint, Latency
from envring.bench.plan.cells import Cell, Contestant

FIRST = {
    "format": 1,
    "when": "2024-01-01T00:00:00+00:00",
    "machine": {"cpu": "Old CPU", "load_before": [0.1]},
    "cells": [
        {
            "workload": "cartpole",
            "num_envs": 64,
            "cores": 2,
            "options": {"envring": {"num_workers": 2}},
            "samples": [
                {
                    "peer": peer,
                    "round": 0,
                    "steps": steps,
                    "resets": 0,
                    "batches": 1,
                    "seconds": 0.5,
                    "outside": None,
                    "kept": True,
                    "rate": 2 * steps,
                }
                for peer, steps in (("envring", 300), ("bare", 100))
            ],
            "failures": {"async": "hung"},
        }
    ],
    "num_workers": 2,
}


@pytest.fixture
def document(result, sample, hardware):
    contestants = (*result.cell.contestants, Contestant("pinned", "envring", {"pin": True}, 32))
    found = CellResult(
        replace(result.cell, contestants=contestants, num_workers=2, think=0.001),
        result.cores,
        [*result.samples, sample("pinned", 0, 9, cpu=1.5, voluntary=3, involuntary=4)],
        failures={"sync": "hung in slice"},
        footprints={"pinned": Footprint(0.25, 0.5, 1 << 20, 3)},
        refusals={"envpool": "Python envs"},
        breakdowns={"pinned": {"wall": 1.0}},
    )
    found.samples[-1] = replace(found.samples[-1], latency=Latency(0.1, 0.2, 0.3, 0.4, 5))
    return Document(hardware, [found], {"torchrl": "pip install torchrl"}, ["bench", "--quick"])


def test_a_document_survives_its_file(document, tmp_path):
    path = tmp_path / "found.json"
    write(path, document)
    assert read(path) == document
    assert json.loads(path.read_text())["cells"][0]["samples"][0]["rate"] == 300_000


def test_a_compressed_file_is_read_back(document, tmp_path):
    plain, compressed = tmp_path / "run.json", tmp_path / "run.json.gz"
    write(plain, document)
    write(compressed, document)
    assert compressed.stat().st_size < plain.stat().st_size
    assert read(compressed) == document
    compressed.write_bytes(compressed.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"run\.json\.gz is not JSON"):
        read(compressed)


def test_format_1_is_read_as_far_as_it_goes(tmp_path):
    path = tmp_path / "old.json"
    path.write_text(json.dumps(FIRST))
    found = read(path)
    assert (found.machine["cpu"], found.when) == ("Old CPU", FIRST["when"])
    assert found.more == {"num_workers": 2}
    (cell,) = found.cells
    assert cell.cell == Cell.of(
        "cartpole", 64, ("envring", "bare", "async"), {"envring": {"num_workers": 2}}
    )
    assert cell.of_ceiling("envring").median == 1.5
    assert cell.failures == {"async": "hung"}
    assert cell.cores_used("envring") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"old\.json is not JSON"),
        ("[]", "does not hold results"),
        ("{}", "does not hold results"),
        ('{"format": 3}', "format 3 is not known; this envring reads 1 to 2"),
        ('{"format": 2, "machine": {}}', "is damaged, or was written by another version: KeyError"),
        ('{"format": 1, "machine": {}, "when": "", "cells": [1]}', "is damaged"),
    ],
)
def test_what_is_no_document_is_refused(text, message, tmp_path):
    path = tmp_path / "old.json"
    path.write_text(text)
    with pytest.raises(ValueError) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert re.search(message, str(caught.value))
