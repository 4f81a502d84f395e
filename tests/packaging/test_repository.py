"""Rules every file of the repository keeps."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# In two parts, so that this file keeps the rule too.
REGISTRIES = tuple(
    f"{host}.{domain}"
    for host, domain in [
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("repo1.maven", "org"),
        ("repo.maven.apache", "org"),
        ("central.sonatype", "com"),
        ("conda", "anaconda.org"),
        ("registry.npmjs", "org"),
    ]
)


def _text_files() -> list[Path]:
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        )
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("needs git and a clone to tell the repository's files from others")
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def test_no_file_names_a_package_registry() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {host}"
        for path in _text_files()
        for host in REGISTRIES
        if host.encode() in path.read_bytes()
    ]
    assert not found


def test_constraints_pin_exact_versions_without_addresses() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert not [line for line in lines if "==" not in line or "://" in line]


def test_package_licences_are_the_repository_licence() -> None:
    expected = (ROOT / "LICENSE").read_bytes()
    licences = sorted(ROOT.glob("packages/*/LICENSE"))
    assert len(licences) == 4
    assert not [licence for licence in licences if licence.read_bytes() != expected]
