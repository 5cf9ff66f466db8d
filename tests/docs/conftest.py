# SPDX-License-Identifier: MIT
"""Builds what takes long, outside of any test's time."""

import pytest

from support import local_channel


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session):
    if session.config.option.collectonly:
        return
    wanted = {getattr(item, "originalname", None) for item in session.items}
    if "test_sh_blocks_run" in wanted and local_channel.OWN in local_channel.versions():
        local_channel.build()
