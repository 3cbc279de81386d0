"""Files that are no modules are in the wheel, and the servers' configurations exist once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.deploy.conftest import DEPLOY, ROOT

PACKAGES = ("services.sites", "hybrid_model.report")


def packaged(monkeypatch: pytest.MonkeyPatch) -> set[Path]:
    """What the wheel holds of PACKAGES besides modules, as pyproject.toml has it."""
    setuptools = pytest.importorskip("setuptools")
    monkeypatch.chdir(ROOT)
    distribution = setuptools.Distribution()
    distribution.parse_config_files(["pyproject.toml"])
    build = distribution.get_command_obj("build_py")
    build.ensure_finalized()
    build.manifest_files = {}  # what a version control's list would add
    found = (build.find_data_files(package, package.replace(".", "/")) for package in PACKAGES)
    return {(ROOT / name).resolve() for names in found for name in names}


def test_templates_and_configurations_are_in_the_wheel(monkeypatch):
    folders = (ROOT / "services/sites/templates", ROOT / "services/sites/files", ROOT / "hybrid_model/report/templates")
    wanted = {path.resolve() for folder in folders for path in folder.rglob("*") if path.is_file()}
    assert len(wanted) > 20
    assert wanted == packaged(monkeypatch) & wanted


@pytest.mark.parametrize("name", ["mosquitto", "redis", "prometheus"])
def test_the_deployments_configurations_are_those_that_new_sites_get(name):
    assert (DEPLOY / name).resolve() == ROOT / "services/sites/files" / name
