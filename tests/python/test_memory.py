"""Memory: flat over a soak. VAR_SOAK=60 makes it as many seconds."""

import gc
import os
import pathlib
import time

import numpy as np
import pytest
import varimage
from conftest import MODEL_FILE

STATM = pathlib.Path("/proc/self/statm")


def resident():
    gc.collect()
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def turn(seed):
    with varimage.load(MODEL_FILE) as model:
        image = model.sample([3, None], seed=seed, on_scale=lambda step: step.image().any() or True)[0]
        model.decode(model.encode([image, image]))
        model.logits(image.tokens, 3)
        with pytest.raises(ValueError):
            model.decode(image.tokens[1:])
        with pytest.raises(ZeroDivisionError):
            model.sample(3, on_scale=lambda step: 1 / 0)
    abandoned = varimage.load(threads=1)
    return np.asarray(abandoned.sample(3)[0].image)


@pytest.mark.skipif(not STATM.exists(), reason="resident memory is read as Linux has it")
def test_memory_is_flat():
    seconds = float(os.environ.get("VAR_SOAK", 4))
    turns, begun, samples = 0, time.monotonic(), []
    while time.monotonic() - begun < seconds or turns < 8:
        turn(turns)
        turns += 1
        samples.append(resident())
    quarter = len(samples) // 4
    early, late = max(samples[quarter : 2 * quarter]), max(samples[3 * quarter :])
    megabytes = [round(sample / 1e6, 1) for sample in (samples[0], early, late)]
    print(f"{turns} turns in {seconds} s: {megabytes} MB after the first, in the second and last quarter")
    assert late - early < 8e6, f"{turns} turns: {megabytes} MB"
