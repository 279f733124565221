"""Threads, forks, Ctrl-C: a call releases the interpreter lock and ends at once."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import varimage
from conftest import MODEL_FILE


def in_threads(*works):
    results = [None] * len(works)

    def run(n):
        results[n] = works[n]()

    threads = [threading.Thread(target=run, args=(n,)) for n in range(len(works))]
    for thread in threads:
        thread.start()
    return threads, results


def test_python_runs_while_a_thread_samples(model):
    threads, results = in_threads(lambda: model.sample([3] * 64, seed=5, batch=64))
    ticks, begun = 0, time.perf_counter()
    while threads[0].is_alive():
        ticks += 1
        time.sleep(0)
    seconds = time.perf_counter() - begun
    assert len(results[0]) == 64
    assert ticks > 1000 * seconds, f"{ticks} ticks in {seconds:.2f} s"


def test_models_are_independent_and_calls_take_turns(model):
    wanted = [model.sample(range(10), seed=seed)[9].image for seed in range(4)]
    other = varimage.load(MODEL_FILE, threads=1)
    work = lambda model, seed: lambda: [model.sample(range(10), seed=seed)[9].image for _ in range(3)]
    works = [work([model, other][n % 2], n // 2 + 2 * (n % 2)) for n in range(4)]
    seeds = [n // 2 + 2 * (n % 2) for n in range(4)]
    threads, results = in_threads(*works)
    for thread in threads:
        thread.join()
    for seed, images in zip(seeds, results, strict=True):
        assert all(np.array_equal(image, wanted[seed]) for image in images)


def test_close_waits_for_calls_under_way():
    model = varimage.load(MODEL_FILE)
    started = threading.Event()
    threads, results = in_threads(
        lambda: model.sample([3] * 8, batch=4, on_scale=lambda step: started.set())
    )
    assert started.wait(60)
    model.close()
    threads[0].join()
    assert len(results[0]) == 8 and model.closed


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_is_told_to_open_its_own(model):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            model.sample(3)
            text = "sampled"
        except BaseException as error:
            text = f"{type(error).__name__}: {error}"
        os.write(writer, text.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as end:
        text = end.read()
    os.waitpid(child, 0)
    assert text.startswith(f"RuntimeError: the model was opened in process {os.getpid()}"), text


PROGRAM = """
import sys, time, varimage
import numpy as np
model = varimage.load({model!r})
once = model.sample(3, seed=5)[0].image
images = [np.zeros((32, 32, 3), np.uint8)] * 100000
print("go", flush=True)
try:
    {work}
    print("ended")
except KeyboardInterrupt:
    print("interrupted", time.time(), flush=True)
again = model.sample(3, seed=5)[0].image
print("again", time.time(), np.array_equal(once, again), flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals are sent as POSIX does")
@pytest.mark.parametrize(
    "work",
    [
        "model.sample([3] * 40000, batch=256)",
        "model.sample([3] * 40000, batch=8, on_scale=lambda step: None)",
        "model.sample(3, on_scale=lambda step: time.sleep(60))",
        "model.encode(images)",
        "model.score(images, range(10))",
    ],
)
def test_ctrl_c_ends_a_call_within_a_second(work):
    program = PROGRAM.format(model=str(MODEL_FILE), work=work)
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "go\n"
        time.sleep(1)
        sent = time.time()
        process.send_signal(signal.SIGINT)
        interrupted = process.stdout.readline().split()
        again = process.stdout.readline().split()
    finally:
        process.kill()
        process.wait()
    assert interrupted[0] == "interrupted", interrupted
    assert float(interrupted[1]) - sent < 1
    # The work has ended, too: the next call has the model.
    assert again[0] == "again" and again[2] == "True", again
    assert float(again[1]) - float(interrupted[1]) < 1, again
