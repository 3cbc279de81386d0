"""Secrets in files: read without the line's end, never repeated, and a warning where everybody may read them."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from services.security.secret_files import open_to_others, read_secret
from services.settings import SettingsError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text("s3cret\n")
    path.chmod(0o600)
    return path


def test_a_secret_comes_without_its_line_end(path):
    assert read_secret(path) == "s3cret"


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n"])
def test_an_empty_secret_is_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(SettingsError, match="is empty"):
        read_secret(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"none: No such file"):
        read_secret(tmp_path / "none")


@pytest.mark.parametrize("content", [b"\xff\xfes3cret", b"s3cret" * 20_000])
def test_a_file_of_another_kind_is_refused_without_its_content(path, content):
    path.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        read_secret(path)
    assert "s3cret" not in str(caught.value)


def test_a_file_that_everybody_may_read_is_told_once_with_name_and_remedy(path):
    path.chmod(0o644)
    with capture_logs() as logged:
        read_secret(path)
        read_secret(path)
    [warning] = logged
    assert (warning["log_level"], warning["file"], warning["mode"]) == ("warning", str(path), "0644")
    assert warning["remedy"] == f"chmod o= {path}"
    assert "s3cret" not in str(logged)


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o640, 0o660])
def test_a_file_for_owner_and_group_is_not(path, mode):
    path.chmod(mode)
    with capture_logs() as logged:
        read_secret(path)
    assert logged == []
    assert open_to_others(path) is None
