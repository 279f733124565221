"""Wrong arguments and files: the exception, its text with both numbers, and a model that goes on."""

import copy
import multiprocessing
import operator
import pickle
import re
import shutil

import numpy as np
import pytest
import varimage
from conftest import MODEL_FILE

IMAGE = np.zeros((32, 32, 3), np.uint8)
TOKENS = np.zeros(30, np.int32)

WRONG = [
    # classes
    ("sample", (11,), {}, ValueError, "a class is 11, 0 to 9, or -1 for none, wanted"),
    ("sample", ([0, -2],), {}, ValueError, "a class is -2, 0 to 9"),
    ("sample", (2**70,), {}, ValueError, f"a class is {2**70}, 0 to 9"),
    ("sample", ("cat",), {}, KeyError, r"cat: no class is called that; near it: coat \(4\)"),
    ("sample", (1.5,), {}, TypeError, "classes: float, ints, names or None wanted"),
    ("sample", ([1.5],), {}, TypeError, "a class: float, an int, a name, or None wanted"),
    ("sample", (True,), {}, TypeError, "a class: bool, an int"),
    ("sample", (np.zeros((1, 1), int),), {}, TypeError, "a class: ndarray, an int"),
    ("label", ("shoe",), {}, KeyError, "shoe: no class is called that"),
    # settings
    ("sample", (3,), {"seed": -1}, ValueError, f"seed is -1, 0 to {2**64 - 1} wanted"),
    ("sample", (3,), {"seed": 2**64}, ValueError, f"seed is {2**64}, 0 to"),
    ("sample", (3,), {"seed": 1.0}, TypeError, "seed: float, an int wanted"),
    ("sample", (3,), {"seed": True}, TypeError, "seed: bool, an int wanted"),
    ("sample", (3,), {"cfg": float("nan")}, ValueError, "cfg is NaN, a finite number wanted"),
    ("sample", (3,), {"cfg": 1e39}, ValueError, "cfg is 1000000000000000000000.*, a finite number wanted"),
    ("sample", (3,), {"cfg": "4"}, TypeError, "cfg: str, a float wanted"),
    ("sample", (3,), {"temperature": 0}, ValueError, "temperature is 0, 0.01 to 100 wanted"),
    ("sample", (3,), {"top_p": 1.5}, ValueError, "top_p is 1.5, 0 to 1 wanted"),
    ("sample", (3,), {"top_k": -1}, ValueError, f"top_k is -1, 0 to {2**32 - 1} wanted"),
    ("sample", (3,), {"batch": 0}, ValueError, "batch is 0, 1 to 4096 wanted"),
    ("sample", (3,), {"batch": 4097}, ValueError, "batch is 4097, 1 to 4096 wanted"),
    ("sample", ([3, 3],), {"first_index": 2**32 - 1}, ValueError, f"first_index is {2**32 - 1}, 0 to {2**32 - 2}"),
    ("sample", (3,), {"more_smooth": 1}, TypeError, "more_smooth: int, a bool wanted"),
    ("sample", (3,), {"on_scale": 3}, TypeError, "on_scale: int, a function wanted"),
    ("sample", (3,), {"steps": 3}, TypeError, "unexpected keyword argument 'steps'"),
    # tokens
    ("decode", (TOKENS[:29],), {}, ValueError, r"tokens: shape \(29\), \(30\) or \(images, 30\) wanted"),
    ("decode", (np.zeros((1, 1, 30), int),), {}, ValueError, r"tokens: shape \(1, 1, 30\)"),
    ("decode", (TOKENS.astype(float),), {}, TypeError, "tokens: dtype float64, integers wanted"),
    ("decode", (TOKENS.astype(bool),), {}, TypeError, "tokens: dtype bool, integers wanted"),
    ("decode", (TOKENS + 512,), {}, ValueError, "a token is 512, 0 to 511 wanted"),
    ("decode", (TOKENS - 1,), {}, ValueError, "a token is -1, 0 to 511 wanted"),
    ("decode", (np.full(30, 2**64 - 1, np.uint64),), {}, ValueError, f"a token is {2**64 - 1}, 0 to 511"),
    ("latents", ("a",), {}, ValueError, r"tokens: shape \(\)"),
    ("logits", (TOKENS, 11), {}, ValueError, "a class is 11, 0 to 9"),
    ("logits", ([TOKENS] * 3, [1, 2]), {}, ValueError, "labels: 2 for 3 images"),
    ("logits", ([TOKENS, TOKENS[:2]], 1), {}, ValueError, "inhomogeneous|shape"),
    # images
    ("encode", (IMAGE.transpose(2, 0, 1),), {}, ValueError, r"shape \(3, 32, 32\), .* wanted: channels come last"),
    ("encode", (IMAGE[..., 0],), {}, ValueError, r"shape \(32, 32\), .* wanted: three colors, gray repeated"),
    ("encode", (np.zeros((4, 4, 4), np.uint8),), {}, ValueError, r"shape \(4, 4, 4\), .* without alpha"),
    ("encode", (IMAGE[:0],), {}, ValueError, "image: 32 × 0, 1 to 268435456 pixels wanted"),
    ("encode", (IMAGE.astype(np.float32),), {}, TypeError, "image: dtype float32, uint8 wanted: 0 to 255"),
    ("encode", (IMAGE.astype(np.int8),), {}, TypeError, "image: dtype int8, uint8 wanted"),
    ("encode", (3,), {}, TypeError, "image: int, an array"),
    ("encode", ([IMAGE, None],), {}, TypeError, "image: NoneType, an array"),
    ("encode", ("none.png",), {}, FileNotFoundError, "none.png.*No such file"),
    ("score", (IMAGE, "cat"), {}, KeyError, "cat: no class"),
    # boxes
    ("edit", (IMAGE, (0, 0, 0, 1)), {}, ValueError, r"region is \(0, 0, 0, 1\), \(top, left, bottom, right\) from 0 to 1"),
    ("edit", (IMAGE, (0, 0, 1.5, 1)), {}, ValueError, r"region is \(0, 0, 1.5, 1\)"),
    ("edit", (IMAGE, (0, 0, 1)), {}, ValueError, "region: 3 numbers, 4 wanted"),
    ("edit", (IMAGE, "all"), {}, TypeError, "region: str"),
    ("edit", (IMAGE, (0, 0, 0.01, 0.01)), {}, ValueError, "no cell of the 4 × 4 finest map"),
    ("edit", (IMAGE, (0, 0, 0.5, 1)), {"outside": 2}, TypeError, "outside: int, a bool wanted"),
    ("edit", ([IMAGE], (0, 0, 0.5, 1)), {}, TypeError, "image: list, an array"),
    ("edit", (IMAGE[None], (0, 0, 0.5, 1)), {}, ValueError, r"shape \(1, 32, 32, 3\), \(height, width, 3\) wanted"),
]


@pytest.mark.parametrize("call, arguments, named, kind, text", WRONG)
def test_wrong_arguments(model, bag, call, arguments, named, kind, text):
    with pytest.raises(kind, match=text):
        getattr(model, call)(*arguments, **named)
    assert np.array_equal(model.decode(bag.tokens), bag.image)


@pytest.mark.parametrize(
    "arguments, named, kind, text",
    [
        (("none.safetensors",), {}, FileNotFoundError, "cannot read none.safetensors.*No such file"),
        ((3,), {}, TypeError, "path: int, a path or bytes wanted"),
        ((b"abc",), {}, varimage.VarError, "the model in memory: not a checkpoint: .*61 62 63"),
        ((b"",), {}, varimage.VarError, "the model in memory"),
        ((b"abc",), {"vae": "vae.pth"}, TypeError, "vae goes with a path, not with bytes"),
        ((), {"vae": "none.pth"}, FileNotFoundError, "none.pth"),
        ((), {"device": "tpu"}, ValueError, "device is \"tpu\", 'cpu' or 'cuda:N' wanted"),
        ((), {"device": "cuda:x"}, ValueError, "device is \"cuda:x\""),
        ((), {"device": "cuda:0", "precision": "f8"}, ValueError, "precision is \"f8\", 'f16'"),
        ((), {"precision": "f16"}, ValueError, "precision is \"f16\", a CPU computes in 'f32'"),
        ((), {"threads": 1025}, ValueError, "threads is 1025, 0 to 1024 wanted"),
        ((), {"threads": "2"}, TypeError, "threads: str, an int wanted"),
        ((), {"isa": "sse9"}, ValueError, "isa is \"sse9\", this processor has portable"),
    ],
)
def test_wrong_models(arguments, named, kind, text):
    with pytest.raises(kind, match=text):
        varimage.load(*arguments, **named)


def test_a_truncated_model_is_refused_at_every_length(tmp_path):
    whole = MODEL_FILE.read_bytes()
    for length in [0, 1, 7, 8, 100, 5000, len(whole) // 2, len(whole) - 1]:
        path = tmp_path / f"{length}.safetensors"
        path.write_bytes(whole[:length])
        with pytest.raises(varimage.VarError, match=f"{length}.safetensors") as refused:
            varimage.load(path)
        assert len(str(refused.value)) > len(str(path)) + 10, "the cause is in the text"
        with pytest.raises(varimage.VarError, match="the model in memory"):
            varimage.load(whole[:length])


def test_folders_and_other_files_are_no_models(tmp_path):
    with pytest.raises((OSError, varimage.VarError), match=re.escape(str(tmp_path))):
        varimage.load(tmp_path)
    with pytest.raises(varimage.VarError, match="test_arguments.py"):
        varimage.load(__file__)


def test_a_model_is_pickled_as_its_path_and_options(monkeypatch, tmp_path, model):
    shutil.copy(MODEL_FILE, tmp_path / "here.safetensors")
    monkeypatch.chdir(tmp_path)
    sent = varimage.load("here.safetensors", threads=1, isa="portable")
    text = pickle.dumps(sent)
    assert len(text) < 1000
    monkeypatch.chdir(tmp_path.parent)
    for copied in (pickle.loads(text), copy.deepcopy(sent)):
        assert (copied.name, copied.threads, copied.isa) == ("here.safetensors", 1, "portable")
        assert np.array_equal(copied.sample(3, seed=5)[0].image, model.sample(3, seed=5)[0].image)
    assert pickle.loads(pickle.dumps(varimage.load())).name == "built-in"
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        tokens = pool.apply(operator.methodcaller("encode", np.zeros((32, 32, 3), np.uint8)), (sent,))
    assert np.array_equal(tokens, sent.encode(np.zeros((32, 32, 3), np.uint8)))
    (tmp_path / "here.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="here.safetensors"):
        pickle.loads(text)


def test_what_is_not_pickled_is_refused_in_words(bag):
    closed = varimage.load(MODEL_FILE)
    closed.close()
    from_bytes = varimage.load(MODEL_FILE.read_bytes())
    refused = ((closed, "a closed Model"), (from_bytes, "a Model from bytes is not pickled"), (bag, "an Image is not pickled"))
    for thing, text in refused:
        for copied in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match=text):
                copied(thing)


def test_classes_are_only_made_here(model):
    for kind in (varimage.Model, varimage.Image, varimage.Step, varimage.Metrics, varimage.Features):
        with pytest.raises(TypeError, match="No constructor|cannot create"):
            kind()
    assert repr(model).startswith("<varimage.Model fashion_reference.safetensors: 32 × 32, 10 classes, cpu, threads ")


def test_a_gpu_that_is_not_there_is_told():
    try:
        model = varimage.load(MODEL_FILE, device="cuda:0")
    except varimage.VarError as error:
        assert "NVIDIA" in str(error) or "cuda" in str(error).lower()
    else:
        assert len(model.sample([3, "bag"])) == 2
    with pytest.raises(varimage.VarError):
        varimage.load(device="cuda:4096")
