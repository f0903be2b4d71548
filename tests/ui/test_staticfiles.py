"""Third-party files come from packages, exactly as reviewed."""

import subprocess
import sys

import pytest
from django.contrib.staticfiles import finders

from opsconsole import staticfiles, staticfiles_checks


def test_the_finder_serves_the_reviewed_files_and_nothing_else():
    names = [name for name, _ in staticfiles.PackageFinder().list(None)]
    assert names == ["vendor/uplot/uplot.iife.min.js", "vendor/uplot/uplot.min.css"]
    assert finders.find(names[0]).endswith("youplot/vendor/uplot.iife.min.js")
    assert finders.find("vendor/uplot/../__init__.py") is None
    with pytest.raises(FileNotFoundError):
        staticfiles.PackageFinder.storage.path("vendor/uplot/../../figure.py")
    with staticfiles.PackageFinder.storage.open(names[1]) as file:
        assert file.read().startswith(b".uplot")


def test_the_check_passes_with_the_installed_files():
    assert staticfiles_checks.carried_files(None) == []


def test_the_check_finds_a_changed_and_a_missing_file(monkeypatch):
    name = "vendor/uplot/uplot.iife.min.js"
    changed = staticfiles.CARRIED[name]._replace(sha256="0" * 64)
    monkeypatch.setitem(staticfiles.CARRIED, name, changed)
    monkeypatch.setitem(staticfiles.CARRIED, "vendor/none.js", staticfiles.Carried("not-a-package", "x.js", ""))
    found = staticfiles_checks.carried_files(None)
    assert [problem.id for problem in found] == ["opsconsole.E102", "opsconsole.E101"]
    assert name in found[0].msg and "not-a-package" in found[1].msg


def test_the_carrier_is_never_imported():
    code = (
        "import sys, opsconsole.staticfiles as s; assert s.locate('vendor/uplot/uplot.min.css')\n"
        "assert 'youplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
