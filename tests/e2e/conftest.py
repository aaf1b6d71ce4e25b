"""Fixtures of the end-to-end tests. BUILD says where the programs are."""
import os
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import rig as rig_module  # noqa: E402

BUILD = os.environ.get("BUILD", "build/debug")
pytest.register_assert_rewrite("on_etcd", "on_ours", "mixed", "patroni_smoke", "standby")


def pytest_configure(config):
    config.addinivalue_line("markers", "rest: of make check-all and make e2e-rest only")


def pytest_collection_modifyitems(items):
    if os.geteuid() != 0:
        for item in items:
            item.add_marker(pytest.mark.skip(reason="network namespaces need root"))


@pytest.fixture(scope="session")
def fence_off():
    """A fence that never fires: made from the same source by a test build's switch, and never shipped."""
    tree = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    build = os.path.join(os.path.abspath(BUILD), "fence_off")
    program = os.path.join(build, "pgquorum-fence")
    env = dict(os.environ, CPPFLAGS="-DFENCE_TEST_OFF")
    for inherited in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):
        env.pop(inherited, None)
    subprocess.run(["make", "-s", "-C", tree, f"BUILD={build}", program], check=True, env=env, stdin=subprocess.DEVNULL)
    return program


@pytest.fixture(scope="session")
def next_release():
    """Directory of the programs of another release, which differs in its number alone."""
    tree = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    env = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    subprocess.run(["make", "-s", "-C", tree, f"BUILD={BUILD}", "next"], check=True, env=env, stdin=subprocess.DEVNULL)
    return os.path.join(tree, BUILD, "next")


@pytest.fixture
def unfenced(make_rig, fence_off):
    """A cluster that is healthy, and has no fence."""
    r = make_rig(fence=fence_off)
    r.start_all()
    r.start_haproxy()
    r.wait_healthy()
    return r


@pytest.fixture
def make_rig(request):
    """A function that makes a rig; it is shown when the test fails, and taken away in any case."""
    made = []

    def make(**settings):
        made.append(rig_module.Rig(os.path.abspath(BUILD), **settings))
        return made[-1]

    yield make
    for r in made:
        try:
            if getattr(request.node, "failed", False):
                r.show()
        finally:
            r.close()


@pytest.fixture(scope="module")
def shared_rig(request):
    """As make_rig; the tests of a module go on with the last one as long as they ask for the same settings and none has failed."""
    have = {}

    def drop():
        for r in have.values():
            r.close()
        have.clear()

    def get(**settings):
        key = repr(sorted(settings.items()))
        if key not in have or have[key].broken:
            drop()
            have[key] = rig_module.Rig(os.path.abspath(BUILD), **settings)
        return have[key]

    yield get
    drop()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if call.when == "call" and outcome.get_result().failed:
        item.failed = True


def pytest_generate_tests(metafunc):
    """A module that says ON_EITHER_STORE: its tests run on our own store, and with the rest on an etcd, too."""
    if "store" in metafunc.fixturenames and getattr(metafunc.module, "ON_EITHER_STORE", False):
        metafunc.parametrize("store", ["raft", pytest.param("etcd3", marks=pytest.mark.rest)], scope="module")


@pytest.fixture(scope="module")
def store(request):
    return getattr(request.module, "STORE", "raft")


@pytest.fixture
def cluster(shared_rig, store, request):
    """Three healthy members with HAProxy; those of the test before, if there was one in the module."""
    yield from rig_module.borrowed(shared_rig(store=store, **rig_module.TIMES[store]), request)
