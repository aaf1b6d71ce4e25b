"""Where a Docker engine answers: images of what is here, one deployment at a time. Figures go to build/compose/figures.txt."""
import os
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import containers  # noqa: E402

BASE = os.environ.get("BASE", "debian:bookworm-slim")
WITHOUT_ENGINE = ("test_files.py", "test_script.py")


def why_not():
    try:
        answer = subprocess.run(["docker", "info"], capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
        if answer.returncode != 0:
            return "no Docker engine answers: " + (answer.stderr.strip().split("\n") or [""])[-1]
        subprocess.run(["docker-compose", "version"], capture_output=True, timeout=30, check=True, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError) as error:
        return f"docker and docker-compose are needed: {error}"
    return None if os.geteuid() == 0 else "the base image is made by debootstrap, which needs root"


def pytest_collection_modifyitems(items):
    need = [item for item in items if item.path.name not in WITHOUT_ENGINE]
    reason = why_not() if need else None
    for item in need:
        if reason is not None:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def base():
    if "MODE" in containers.settings():
        pytest.exit("a deployment of compose is here, with its data: make compose-down first", 1)
    subprocess.run([os.path.join(containers.HERE, "base_image.sh"), BASE, "bookworm"], check=True, stdin=subprocess.DEVNULL)


@pytest.fixture(scope="session")
def figures():
    path = os.path.join(containers.TREE, "build", "compose")
    os.makedirs(path, exist_ok=True)
    with open(os.path.join(path, "figures.txt"), "a", encoding="ascii", buffering=1) as f:
        yield lambda text: (f.write(text + "\n"), print(text))


@pytest.fixture(scope="module")
def make_deployment(base, tmp_path_factory):
    """A function that starts one and waits until it is healthy; those of before go."""
    made = []

    def make(mode, **options):
        for old in made:
            old.close()
        made.append(containers.Deployment(mode, str(tmp_path_factory.mktemp("deployment")), **options))
        made[-1].said = made[-1].up()
        made[-1].wait_healthy()
        return made[-1]

    yield make
    for old in made:
        old.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if call.when == "call" and report.failed and item.path.name not in WITHOUT_ENGINE and "MODE" in containers.settings():
        mode = containers.settings()["MODE"]
        logs = subprocess.run(["docker-compose", "-f", f"{mode}.yml", "logs", "--no-color", "--tail", "60"], capture_output=True, text=True,
                              cwd=containers.COMPOSE, stdin=subprocess.DEVNULL)
        report.sections.append(("the containers' logs", logs.stdout))
