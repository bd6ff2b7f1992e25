"""The zip of the functions, made of the binary that was built, started where there is nothing else."""

from __future__ import annotations

import os
import subprocess

import lambda_package
import pytest
from machines import binary
from tree import ROOT


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root for its chroot")
def test_the_package_starts_answers_and_stores_in_a_bare_root(tmp_path) -> None:
    package = tmp_path / "adtrack-lambda.zip"
    made = subprocess.run(
        [ROOT / "Deploy/package-lambda", package],
        env=os.environ | {"ADTRACK_BINARY": str(binary())}, capture_output=True, text=True,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    lambda_package.main(package)
