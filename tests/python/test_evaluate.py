"""Metrics and features, with generated weights of the network."""

import json
import os
import signal
import subprocess
import sys
import time

import inception
import numpy as np
import pytest
import varimage

pytestmark = pytest.mark.filterwarnings("ignore:.*with fewer than 2048:UserWarning")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("inception") / "inception.safetensors"
    inception.write(path)
    return path


@pytest.fixture(scope="module")
def sets():
    random = np.random.default_rng(2)
    real = random.integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    return real // 2 + np.arange(32, dtype=np.uint8)[:, None], real


def test_features_are_rows(weights, sets):
    both = varimage.features(sets[0][:2], weights)
    assert both.pooled.shape == (2, 2048) and both.pooled.dtype == np.float32
    assert both.spatial.shape == (2, 2023) and both.logits.shape == (2, 1008)
    one = varimage.features(sets[0][1], weights, threads=1, isa="portable")
    assert np.array_equal(one.pooled[0], both.pooled[1]), "not of the other images, nor of the instruction set"
    assert repr(both) == "<varimage.Features of 2 images>"
    assert varimage.features([], weights).pooled.shape == (0, 2048)


def test_metrics_are_the_command_lines(weights, sets, var, tmp_path):
    for name, images in zip(("made", "real"), sets):
        (tmp_path / name).mkdir()
        np.savez(tmp_path / f"{name}.npz", images)
    with pytest.warns(UserWarning, match="samples: 5 images: with fewer than 2048"):
        metrics = varimage.evaluate(sets[0], list(sets[1]), weights)
    said = json.loads(
        var("evaluate", tmp_path / "made.npz", "--reference", tmp_path / "real.npz", "--inception", weights, "--json", model=False)
    )
    for name in ("fid", "sfid", "inception_score", "precision", "recall"):
        assert getattr(metrics, name) == said[name], name
    assert metrics.fid > 0 and metrics.missing == {}
    again = varimage.evaluate(tmp_path / "made.npz", str(tmp_path / "real.npz"), weights)
    assert again.fid == metrics.fid and repr(again) == repr(metrics)
    assert repr(metrics).startswith(f"Metrics(fid={metrics.fid}, sfid=")


def test_wrong_sets(weights, sets, tmp_path):
    made, real = sets
    for samples, reference, kind, text in [
        ("none", real, FileNotFoundError, "none: is neither a folder of images nor an .npz archive"),
        (tmp_path, real, varimage.VarError, "has no images"),
        ([], real, varimage.VarError, "samples: has no images"),
        (made[:1], real, varimage.VarError, "1 image: a covariance wants at least 2"),
        (made[:, :16], real, varimage.VarError, "the samples are 32 × 16, the reference's images 32 × 32"),
        ([made[0], made[1][:16]], real, varimage.VarError, "samples: image 1: is 32 × 16, .* 32 × 32"),
        (made.astype(float), real, TypeError, "dtype float64, uint8 wanted"),
        (3, real, TypeError, "image: int"),
    ]:
        with pytest.raises(kind, match=text):
            varimage.evaluate(samples, reference, weights)
    with pytest.raises(FileNotFoundError, match="none.pth"):
        varimage.evaluate(made, real, "none.pth")
    with pytest.raises(varimage.VarError, match="test_evaluate.py"):
        varimage.features(made, __file__)


@pytest.mark.skipif(os.name != "posix", reason="signals are sent as POSIX does")
def test_ctrl_c_ends_an_evaluation_within_a_second(weights):
    program = f"""
import time, varimage, numpy as np
images = np.zeros((500, 32, 32, 3), np.uint8)
print("go", flush=True)
try:
    varimage.evaluate(images, images, {str(weights)!r})
except KeyboardInterrupt:
    print(time.time(), flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "go\n"
        time.sleep(1.5)
        sent = time.time()
        process.send_signal(signal.SIGINT)
        interrupted = process.stdout.readline()
        assert interrupted and float(interrupted) - sent < 1
        process.wait(timeout=10)
    finally:
        process.kill()
        process.wait()
