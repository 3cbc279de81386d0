"""The container files hold together. They are parsed, not built: the tests need no container engine."""

from __future__ import annotations

import json
import shlex
import tomllib

import pytest

from tests.deploy.conftest import DEPLOY, ROOT
from tests.deploy.dockerfiles import Dockerfile

FILES = sorted(DEPLOY.glob("*.Dockerfile"))


@pytest.fixture(params=FILES, ids=lambda path: path.name)
def dockerfile(request: pytest.FixtureRequest) -> Dockerfile:
    return Dockerfile.read(request.param)


def test_there_is_one_for_every_role():
    assert [path.name for path in FILES] == ["cloud.Dockerfile", "edge.Dockerfile", "streamer.Dockerfile"]


def test_everything_copied_exists_and_reaches_the_engine(dockerfile):
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for source in dockerfile.copied:
        assert (ROOT / source).exists(), source
        assert source in allowed, f"{source} is not let through by .dockerignore"


def test_what_packaging_needs_is_copied(dockerfile):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    packages = {"hybrid_model", "services"}
    assert {project["readme"], *project["license-files"], *packages, "pyproject.toml"} <= set(dockerfile.copied)


def test_only_the_installed_environment_is_shipped(dockerfile):
    sources = [rest for name, rest in dockerfile.last_stage if name == "COPY"]
    assert sources[0] == "--from=build /opt/dewpoint /opt/dewpoint"
    assert not any("pip" in rest for name, rest in dockerfile.last_stage if name == "RUN")


def test_it_runs_without_root(dockerfile):
    users = [rest for name, rest in dockerfile.last_stage if name == "USER"]
    assert users == ["dewpoint"]


def test_a_stop_reaches_the_program_itself(dockerfile):
    """The exec form: no shell stands between the container's SIGTERM and the worker."""
    [entry] = dockerfile.all("ENTRYPOINT")
    assert json.loads(entry)[0] == "dewpoint"


def test_extras_that_are_installed_are_declared(dockerfile):
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for rest in dockerfile.all("RUN"):
        for word in shlex.split(rest):
            if word.startswith(".["):
                assert set(word[2:-1].split(",")) <= set(extras)


def test_the_edge_image_installs_no_extra():
    [install] = [rest for rest in Dockerfile.read(DEPLOY / "edge.Dockerfile").all("RUN") if "pip install" in rest]
    assert install == "pip install -c constraints.txt ."
