"""Training: the log's lines, stopping, going on, errors."""

import json
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import varimage
from conftest import BUILT_IN_FILE, MODEL_FILE
from PIL import Image as Pil

TINY = {"vae": MODEL_FILE, "depth": 1, "bs": 4, "seed": 1, "log_every": 1, "sample_every": 0}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    place = tmp_path_factory.mktemp("data")
    for part, count in (("train", 8), ("val", 2)):
        for number in range(count):
            folder = place / part / ["dark", "light"][number % 2]
            folder.mkdir(parents=True, exist_ok=True)
            shade = np.full((32, 32, 3), 30 * number, np.uint8)
            Pil.fromarray(shade).save(folder / f"{number}.png")
    return place


def log(out):
    return without_times(json.loads(line) for line in (out / "log.jsonl").read_text().splitlines())


def without_times(lines):
    return [{**line, "images_per_s": 0} if "images_per_s" in line else line for line in lines]


def test_a_run_reports_the_lines_of_its_log_and_makes_a_model(data, tmp_path):
    lines = []
    outcome = varimage.train(data, tmp_path / "run", ep=2, on_log=lines.append, **TINY)
    assert without_times(lines) == log(tmp_path / "run")
    assert [line["iter"] for line in lines if "L_mean" in line] == [0, 1, 2, 3]
    step = lines[1]
    assert isinstance(step["iter"], int) and all(isinstance(step[key], float) for key in ("L_mean", "lr", "wd"))
    assert outcome.iterations == 4 and not outcome.stopped
    assert outcome.checkpoint == tmp_path / "run" / "ckpt-last.safetensors"
    validation = [line for line in lines if "val_L_mean" in line][-1]
    assert outcome.validation == {key: validation[key] for key in validation if key.startswith("val_")}
    model = varimage.load(outcome.checkpoint)
    assert model.class_names == ["dark", "light"] and model.sample("light")[0].image.shape == (32, 32, 3)
    assert "4 iterations" in repr(outcome)


def test_the_checkpoint_is_the_command_lines(data, tmp_path, var):
    own = {**TINY, "depth": 2}
    varimage.train(data, tmp_path / "here", ep=2, tblr=3e-4, drop_path=0.1, val_every="end", **own)
    options = ("--depth", 2, "--bs", 4, "--seed", 1, "--log-every", 1, "--sample-every", 0)
    options += ("--ep", 2, "--tblr", 3e-4, "--drop-path", 0.1, "--val-every", "end")
    var("train", "--data", data, "--vae", MODEL_FILE, "--out", tmp_path / "there", *options, model=False)
    assert log(tmp_path / "here") == log(tmp_path / "there")


def test_a_stopped_run_goes_on_to_the_same_log(data, tmp_path):
    whole = varimage.train(data, tmp_path / "whole", ep=3, **TINY)
    seen = []

    def stop(line):
        seen.append(line["iter"])
        return len(seen) < 2

    stopped = varimage.train(data, tmp_path / "parts", ep=3, on_log=stop, **TINY)
    assert stopped.stopped and stopped.iterations == 2 and seen == [0, 1]
    assert stopped.checkpoint.is_file()
    ended = varimage.train(data, tmp_path / "parts", ep=3, **TINY)
    assert not ended.stopped and ended.iterations == whole.iterations == 6
    assert log(tmp_path / "parts") == log(tmp_path / "whole")
    assert ended.checkpoint.read_bytes() == whole.checkpoint.read_bytes()


def test_an_exception_of_the_callback_comes_out_and_the_run_can_go_on(data, tmp_path):
    def fail(line):
        raise LookupError(line["iter"])

    with pytest.raises(LookupError, match="0"):
        varimage.train(data, tmp_path / "run", ep=1, on_log=fail, **TINY)
    assert varimage.train(data, tmp_path / "run", ep=1, **TINY).iterations == 2


def test_errors_are_exceptions_that_name_the_option(data, tmp_path):
    def refused(kind, text, where=data, **options):
        with pytest.raises(kind, match=text):
            varimage.train(where, tmp_path / "run", **{**TINY, **options})

    refused(TypeError, "epochs is no option of train", epochs=3)
    refused(TypeError, "bs: str, an int wanted", bs="4")
    refused(ValueError, "bs is 0, 1 to", bs=0)
    refused(ValueError, "tblr is NaN, 0 or more wanted", tblr=float("nan"))
    refused(ValueError, "ls is 1", ls=1)
    refused(ValueError, 'sche: schedule "up"', sche="up")
    refused(ValueError, "save_every is \"daily\", a number or 'epoch' wanted", save_every="daily")
    refused(TypeError, "iterations: instead of ep", ep=1, iterations=3)
    refused(TypeError, "on_log: int, a function wanted", on_log=3)
    refused(ValueError, "--bs 4: no multiple of --ac 3", ac=3)
    refused(FileNotFoundError, "none/train", where=tmp_path / "none")
    refused(ValueError, "--depth, --width, --heads", width=64, heads=3)
    refused(FileNotFoundError, "none.pth", vae=tmp_path / "none.pth")
    varimage.train(data, tmp_path / "run", ep=1, **TINY)
    refused(ValueError, "--seed: the run was started with 1, now 2", ep=1, seed=2)


def test_the_vqvae_of_a_file_makes_the_tokens(data, tmp_path):
    for vae in ("built-in", BUILT_IN_FILE):
        varimage.train(data, tmp_path / pathlib.Path(vae).stem, ep=1, **{**TINY, "vae": vae})
    assert log(tmp_path / "built-in") == log(tmp_path / "default")


def test_an_image_that_cannot_be_read_is_warned_of(data, tmp_path):
    place = tmp_path / "data/train/all"
    place.mkdir(parents=True)
    for number in range(4):
        (place / f"{number}.png").write_bytes((data / "train/dark/0.png").read_bytes())
    (place / "3.png").write_bytes(b"no image")
    with pytest.warns(UserWarning, match="3.png"):
        varimage.train(tmp_path / "data", tmp_path / "run", ep=1, **TINY)


ENDLESS = {"vae": str(MODEL_FILE), "bs": 8, "ep": 100000, "seed": 1, "log_every": 1, "sample_every": 0, "val_every": 0, "save_every": 0}
PROGRAM = f"""
import sys, time, varimage
data, out, depth = sys.argv[1:]
try:
    varimage.train(data, out, depth=int(depth), **{ENDLESS}, on_log=lambda line: print("step", flush=True))
except KeyboardInterrupt:
    print("interrupted", time.time(), flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent as POSIX does")
# A step of the second takes longer than a second in a build for the tests.
@pytest.mark.parametrize("depth", [1, 4])
def test_ctrl_c_ends_the_call_within_a_second_and_leaves_a_run_to_go_on_with(data, tmp_path, depth):
    command = [sys.executable, "-c", PROGRAM, data, tmp_path / "run", str(depth)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "step\n"
        sent = time.time()
        process.send_signal(signal.SIGINT)
        lines = process.stdout.read().split()
        assert process.wait(100) == 0
    finally:
        process.kill()
        process.wait()
    assert lines[-2] == "interrupted" and float(lines[-1]) - sent < 1
    # The step under way was saved.
    done = log(tmp_path / "run")
    saved = varimage.train(data, tmp_path / "run", depth=depth, **ENDLESS, on_log=lambda line: False)
    assert saved.iterations == len(done) + 1
