"""Models, the command line, and files of the tests."""

import os
import pathlib
import subprocess

import pytest
import varimage

ROOT = pathlib.Path(__file__).parents[2]
BUILT_IN_FILE = ROOT / "var-host/src/model/default.safetensors"
# A model of 32 × 32 images of clothes in ten classes: its 30 tokens take a small part of the built-in model's time.
MODEL_FILE = ROOT / "fixtures/fashion_reference.safetensors"


@pytest.fixture(scope="session")
def model():
    return varimage.load(MODEL_FILE)


@pytest.fixture(scope="session")
def bag(model):
    """A drawn image."""
    return model.sample(8, seed=5)[0]


@pytest.fixture(scope="session")
def var():
    """Runs the command line; `model=False`: without the tests' model."""
    binary = pathlib.Path(os.environ.get("VAR_BINARY", ROOT / "target/debug/var"))
    if not binary.is_file():
        pytest.skip(f"{binary}: not built; VAR_BINARY names another")

    def run(*arguments, model=True):
        command = [binary, *map(str, arguments), "--quiet", "--device", "cpu"]
        command += ["--model", MODEL_FILE] if model else []
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    return run
