# SPDX-License-Identifier: MIT
"""What every test gets: a quiet display, repeatable hypothesis, and balanced books at the end."""

import gc
import os
import re
import signal

# before pygame, matplotlib or a worker can be started
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
# before numpy is imported: BLAS threads sleep at once instead of spinning for 2**26 cycles first,
# in each of the thousands of processes that are started or forked
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")

import hypothesis
import pytest

from support.books import MARK, Books

pytest_plugins = ["support.foreign_plugin", "support.parallel"]

os.environ[MARK] = str(os.getpid())

# who starts a test run in the background has it ignore Ctrl-C, and all that it starts with it
signal.signal(signal.SIGINT, signal.default_int_handler)

hypothesis.settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
hypothesis.settings.register_profile("search", deadline=None, print_blob=True)
# random search on request: HYPOTHESIS_PROFILE=search make test
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# Each kind of info and of space, through workers in another interpreter or on a host: what they add
# to the local ones is how values travel, which tests/worker, test_infos, test_interpreters show.
# And interpreters and launchers of which others are tested: of interpreters, the oldest of each
# major version, this one and the newest; of launchers, one way to install packages.
LONG = re.compile(
    r"Test(Remote|Foreign)[A-Za-z]+::test_(infos|observation_space|action_space)_"
    r"|[\[-]3\.(7|8|9|10|12)[\]-]"
    r"|launchers/test_conformance\.py::[^[]+\[(micromamba|boxed_conda)[\]-]"
)

# The same tests in more places. `make test` has the oldest interpreter and this one, an old gym,
# the newest gymnasium and retro, prefixes of conda and others, forked workers, the compiled step
# loop (test_bitwise has both), the widest family of spaces, our classes and not Gymnasium's, one
# case of each call on servers of other projects, and an editable installation. What the C programs
# show, sanitizers show of them as well.
WIDE = re.compile(
    r"[\[-]3\.(6|13)[\]-]"
    r"|^tests/(wheel|c|soak)/"
    r"|test_ring\.py::Test(Reference|CallerSteps)"
    r"|test_(grpc|openenv)_client\.py::[^[]+\[|test_the_container_starts_as_written"
    r"|api/test_sending\.py::test_each_env[^[]+\[(.*(reference|worker each)|quick-(Next|Dis)"
    r"|slow-Same|slow-Next.*(inline|library|mixed))"
    r"|test_parts_resets\.py::[^[]+\[((Next|Same).*(reference|inline|copy|relayed)|Dis.*(ref|rel))"
    r"|^tests/faults/[^[]+\[.*(reference|spawn|forkserver)|test_ring_only.*(spawn|forkserver)"
    r"|test_matrix\.py::test_sample\[(forkserver|spawn|sandbox)"
    r"|test_restarts_(vectors|relayed)\.py::[^[]+\[.*(SameStep|Disabled)"
    r"|test_restarts_relayed\.py::test_replaced|test_restarts_damaged\.py::[^[]+\[.*ones"
    r"|test_reconnecting_actions\.py::(test_the_|.*(\[(st|pa|Sa|Dis)|ints|small|Sequen|Mixed))"
    r"|test_program_restarts\.py::[^[]+\[(Disabled|.*together)"
    r"|test_program_restarts\.py::test_(a_reset|replaced_w|sent|roll|envs)[^[]+\[SameStep"
    r"|test_exceptions\.py::[^[]+\[1-"
    r"|test_reconnecting\.py::(test_a_lost_connection\[(SameS|Dis)|.*(started_again|close_while))"
    r"|conformance/test_gymnasium\.py"
    r"|gateways/test_closing\.py::.*(\[(no|close is|an?) |longer|same_time|answer|place_of)"
    r"|(gateways|foreign)/test_conformance\.py|test_attacks\.py"
    r"|launchers/test_conformance\.py::[^[]+\[(python|uv|boxed_uv)[\]-]"
    r"|test_(bitwise|sources_registered)\.py::[^[]+\[(gym-0\.(16|17|18|25|26)|gymnasium-(0|1\.0))"
    r"|test_bitwise\.py::.*(Breakout|Hopper)"
    r"|test_readme_of_portal_env|test_groups_are_measured_and_reported"
    r"|test_equals_sync\[(caller-|\w+-(floats|integers|nested|odd|big)-)"
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if LONG.search(item.nodeid):
            item.add_marker(pytest.mark.long)
        elif WIDE.search(item.nodeid):
            item.add_marker(pytest.mark.wide)


FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(trylast=True)
def pytest_collection_finish():
    """Spares the collector, here and in forks, what lives until the end: items and modules."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if call.when == "call":
        item.stash[FAILED] = report.failed
    return report


@pytest.fixture(autouse=True)
def balanced_books(request):
    """Fails a test that leaves a process, descriptor, mapping, thread or name behind."""
    if request.node.get_closest_marker("leaves"):
        yield
        return
    before = Books.now()
    yield
    if request.node.stash.get(FAILED, False):
        return  # its traceback keeps its environments alive: one report is enough
    request.node.funcargs.clear()  # or pytest would hold the fixtures' values until after this one
    left = before.left_over(within=5.0)
    if left:
        pytest.fail("left behind: " + "; ".join(left), pytrace=False)
