"""Models, the command line, and files of the tests."""

import os
import pathlib
import subprocess

import pytest
import varimage

ROOT = pathlib.Path(__file__).parents[2]
MODEL_FILE = ROOT / "var-host/src/model/default.safetensors"


@pytest.fixture(scope="session")
def model():
    return varimage.load()


@pytest.fixture(scope="session")
def bag(model):
    """A drawn image."""
    return model.sample(8, seed=5)[0]


@pytest.fixture(scope="session")
def var():
    """Runs the command line."""
    binary = pathlib.Path(os.environ.get("VAR_BINARY", ROOT / "target/debug/var"))
    if not binary.is_file():
        pytest.skip(f"{binary}: not built; VAR_BINARY names another")

    def run(*arguments):
        command = [binary, *map(str, arguments), "--quiet", "--device", "cpu"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    return run
