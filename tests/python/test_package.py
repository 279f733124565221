"""The package: its stubs, its documentation, its example."""

import importlib.metadata
import importlib.util
import subprocess
import sys

import pytest
import varimage
from conftest import ROOT
from PIL import Image as PilImage


def test_every_name_is_documented():
    assert varimage.__version__ == importlib.metadata.version("varimage")
    for name in varimage.__all__:
        thing = getattr(varimage, name)
        if name == "__version__":
            continue
        assert thing.__doc__, name
        if isinstance(thing, type):
            own = [part for part in vars(thing) if not part.startswith("_")]
            undocumented = [part for part in own if not getattr(thing, part).__doc__]
            assert not undocumented, f"{name}: {undocumented}"


@pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="mypy is not installed")
def test_stubs_agree_with_the_module(tmp_path):
    checked = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", "varimage"], capture_output=True, text=True, cwd=tmp_path
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    demo = ROOT / "var-host/python/examples/demo_sample.py"
    wrong = tmp_path / "wrong.py"
    wrong.write_text("import varimage\nvarimage.load().sample(1.5)\n")
    for path, sound in ((demo, True), (wrong, False)):
        checked = subprocess.run(
            [sys.executable, "-m", "mypy", "--strict", str(path)], capture_output=True, text=True, cwd=tmp_path
        )
        assert (checked.returncode == 0) == sound, checked.stdout + checked.stderr


def test_the_demo_draws_a_row(tmp_path):
    demo = ROOT / "var-host/python/examples/demo_sample.py"
    said = subprocess.run(
        [sys.executable, demo, "--output", tmp_path / "demo.png"], check=True, capture_output=True, text=True
    )
    assert "scale 6 of 6" in said.stdout
    with PilImage.open(tmp_path / "demo.png") as row:
        assert row.size == (8 * 64, 64)
