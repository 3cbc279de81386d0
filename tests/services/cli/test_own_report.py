"""The report lies beside its bundle, and the command says where."""

import shutil

from hybrid_model import bundle as bundle_file
from services.cli import own_report
from tests.hybrid_model.report.test_report import CHOICES, own, run_of


def test_it_lies_beside_the_bundle_and_its_place_is_told(tmp_path, capsys):
    shutil.copy(bundle_file.resolve("digits"), tmp_path / "parts.dew")
    figures = own_report.report_beside(tmp_path / "parts.dew", own("digits"), run_of("digits"), CHOICES)
    assert (tmp_path / "parts.html").read_text().startswith("<!doctype html>")
    assert figures["bundle"]["file"] == "parts.dew"
    assert figures["bundle"]["bytes"] == (tmp_path / "parts.dew").stat().st_size
    assert "parts.html" in capsys.readouterr().out.replace("\n", "")
