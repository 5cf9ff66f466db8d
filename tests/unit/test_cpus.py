# SPDX-License-Identifier: MIT
"""Usable CPUs: affinity and cgroup quota."""

import os

import pytest

from envring import cpus


@pytest.fixture
def cgroup(tmp_path):
    """A made-up cgroup tree: write(path, text) and the quota it gives."""

    class Tree:
        membership = tmp_path / "membership"

        def write(self, path, text):
            file = tmp_path / "fs" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)

        def quota(self, membership="0::/\n"):
            self.membership.write_text(membership)
            return cpus.cgroup_quota(tmp_path / "fs", self.membership)

    return Tree()


def test_no_cgroup_means_no_quota(tmp_path):
    assert cpus.cgroup_quota(tmp_path / "none", tmp_path / "nothing") is None


def test_version_two_quota(cgroup):
    cgroup.write("cpu.max", "150000 100000\n")
    assert cgroup.quota() == 1.5


def test_version_two_without_limit(cgroup):
    cgroup.write("cpu.max", "max 100000\n")
    assert cgroup.quota() is None


def test_the_tightest_level_counts(cgroup):
    cgroup.write("cpu.max", "max 100000\n")
    cgroup.write("a/cpu.max", "200000 100000\n")
    cgroup.write("a/b/cpu.max", "400000 100000\n")
    assert cgroup.quota("0::/a/b\n") == 2.0


def test_version_one_quota(cgroup):
    cgroup.write("cpu/cpu.cfs_quota_us", "50000\n")
    cgroup.write("cpu/cpu.cfs_period_us", "100000\n")
    assert cgroup.quota("") == 0.5


def test_version_one_without_limit(cgroup):
    cgroup.write("cpu/cpu.cfs_quota_us", "-1\n")
    cgroup.write("cpu/cpu.cfs_period_us", "100000\n")
    assert cgroup.quota("") is None


@pytest.mark.parametrize(("quota", "expected"), [(None, 3), (1.5, 2), (0.2, 1), (8.0, 3)])
def test_usable_is_what_affinity_and_quota_leave(monkeypatch, quota, expected):
    monkeypatch.setattr(cpus, "allowed_cpus", lambda: [0, 2, 5])
    monkeypatch.setattr(cpus, "cgroup_quota", lambda: quota)
    assert cpus.usable_cpus() == expected


def test_affinity_of_this_process_is_respected():
    assert cpus.allowed_cpus() == sorted(os.sched_getaffinity(0))
