# SPDX-License-Identifier: MIT
"""Specs of the shapes that public repositories have, each solved from channels of this machine."""

import os
import shutil

import pytest

from envring.launchers.micromamba import Micromamba
from prefixes import small
from prefixes.small import origins, package

MICROMAMBA = os.environ.get("MAMBA_EXE") or shutil.which("micromamba")

# name: text, and what must be in the prefix, with its version and channel
SPECS = {
    "exact version and channel of a package": (
        "channels: [pytorch, conda-forge, defaults]\n"
        "dependencies: [python=3.8, 'pytorch::pytorch=1.7.1', cudatoolkit=10.2]",
        {"pytorch": ("1.7.1", "pytorch"), "cudatoolkit": ("10.2.89", "conda-forge")},
    ),
    "channel that is not listed": (
        "channels: [conda-forge]\ndependencies: [python=3.7, pytorch::pytorch]",
        {"pytorch": ("1.13.1", "pytorch")},
    ),
    "label as a channel": (
        "channels: [nvidia/label/cuda-11.7.1, pytorch, conda-forge]\n"
        "dependencies: [python=3.10, cuda-toolkit, 'pytorch=1.13.*']",
        {"cuda-toolkit": ("11.7.1", "nvidia/label/cuda-11.7.1"), "pytorch": ("1.13.1", "pytorch")},
    ),
    "label of a package": (
        "channels: [conda-forge]\n"
        "dependencies: [python=3.10, 'nvidia/label/cuda-11.7.1::cuda-toolkit']",
        {"cuda-toolkit": ("11.7.1", "nvidia/label/cuda-11.7.1")},
    ),
    "trailing dot": (
        "dependencies: [python=3.6, cudatoolkit=10.]",
        {"cudatoolkit": ("10.2.89", "conda-forge")},
    ),
    "spaces, ranges and wildcards": (
        "dependencies:\n- python >=3.6,<3.9\n- numpy 1.19.*\n- scipy!=1.6.0\n- swig >= 4",
        {"python": ("3.8.20", "conda-forge"), "numpy": ("1.19.5", "conda-forge")},
    ),
    "everything exported, with builds": (
        "name: base\nchannels:\n- defaults\n- conda-forge\ndependencies:\n"
        "- _libgcc_mutex=0.1=main\n- python=3.9.21=0\n- numpy=1.21.6=0\nprefix: /home/x/env",
        {"_libgcc_mutex": ("0.1", "main"), "numpy": ("1.21.6", "conda-forge")},
    ),
    "build of a variant": (
        "channels: [conda-forge]\ndependencies: [python=3.9, 'blas=*=openblas']",
        {"blas": ("1.0", "conda-forge")},
    ),
    "build by wildcard": (
        "channels: [pytorch]\ndependencies: ['conda-forge::python=3.8', 'pytorch=*=*cuda*']",
        {"pytorch": ("1.7.1", "pytorch")},
    ),
    "priority, platforms, category, selectors": (
        "channels: [conda-forge, nodefaults]\nchannel_priority: strict\nplatforms: [linux-64]\n"
        "category: main\ndependencies:\n- python=3.11\n- sel(linux): swig\n- sel(win): pywin32",
        {"swig": ("4.1.1", "conda-forge")},
    ),
    "only defaults": (
        "channels: [defaults]\ndependencies: [python=3.7, 'defaults::mkl<2022', r-base]",
        {"mkl": ("2021.4.0", "main"), "r-base": ("4.3", "r")},
    ),
    "python 2.7, no channels": (
        "name: old\ndependencies:\n  - python=2.7  # gym 0.9\n  - numpy=1.16",
        {"python": ("2.7.18", "conda-forge")},
    ),
    "variables and an anchor": (
        "dependencies: [&py python=3.12, swig]\nvariables: {MUJOCO_GL: egl, LEVEL: 3}",
        {"python": ("3.12.9", "conda-forge")},
    ),
    "a package that only a lower channel has new enough": (
        "channels: [conda-forge, pytorch]\ndependencies: [python=3.9, 'torchvision>=0.14']",
        {"torchvision": ("0.14.1", "pytorch"), "pytorch": ("1.13.1", "pytorch")},
    ),
}


@pytest.fixture(scope="module")
def mirror(tmp_path_factory):
    home = tmp_path_factory.mktemp("patterns") / "mirror"
    scipy = (package("scipy", "1.6.0"), package("scipy", "1.5.4"))
    numpy = tuple(package("numpy", each) for each in ("1.16.6", "1.19.5", "1.21.6", "1.26.4"))
    cuda = tuple(package("cudatoolkit", each) for each in ("10.1.243", "10.2.89", "11.8.0"))
    blas = (package("blas", "1.0", "mkl"), package("blas", "1.0", "openblas"))
    small.make(
        home,
        conda_forge=(
            *(*small.pythons(), *numpy, *scipy, *cuda, *blas, package("swig", "4.1.1")),
            *(package("pytorch", "1.12.0"), package("torchvision", "0.13.0")),
        ),
        pytorch=(
            package("pytorch", "1.7.1", "py_cuda10", ("cudatoolkit 10.*",)),
            package("pytorch", "1.13.1", "py_cpu"),
            package("torchvision", "0.14.1", depends=("pytorch 1.13.1",)),
            package("cudatoolkit", "10.0.130"),
        ),
        nvidia__label__cuda_11_7_1=(package("cuda-toolkit", "11.7.1"),),
        main=(
            *(package("_libgcc_mutex", "0.1", "main"), *small.pythons(("3.7.12",))),
            *(package("mkl", "2021.4.0"), package("mkl", "2023.1")),
        ),
        r=(package("r-base", "4.3"),),
    )
    label = home / "nvidia/label"
    (label / "cuda-11-7-1").rename(label / "cuda-11.7.1")
    return home


@pytest.fixture(autouse=True)
def offline(mirror, monkeypatch, tmp_path):
    """Names lead to the mirror, for each solver."""
    monkeypatch.setenv("PATH", os.defpath)
    monkeypatch.setenv("CONDA_CHANNEL_ALIAS", mirror.as_uri())
    rc = tmp_path / "condarc"
    urls = [(mirror / name).as_uri() for name in ("main", "r")]
    rc.write_text(f"default_channels: {urls}\n".replace("'", '"'))
    monkeypatch.setenv("CONDARC", str(rc))


@pytest.mark.parametrize("solver", ["rattler", "micromamba"])
@pytest.mark.parametrize("shape", SPECS)
def test_shape(shape, solver, tmp_path):
    if solver == "micromamba" and not MICROMAMBA:
        pytest.skip("there is no micromamba here: these specs stay unsolved by it")
    text, expected = SPECS[shape]
    (tmp_path / "environment.yml").write_text(text)
    program = MICROMAMBA if solver == "micromamba" else solver
    entry, _ = Micromamba(tmp_path / "environment.yml", solver=program).obtain()
    found = origins(entry.prefix)
    assert {name: found.get(name) for name in expected} == expected
