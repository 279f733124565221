"""Images ↔ tokens; scores, logits, latents."""

import numpy as np
import pytest
import varimage
from conftest import BUILT_IN_FILE, MODEL_FILE
from PIL import Image as PilImage


def test_decode_of_a_samples_tokens_is_its_image(model, bag):
    for tokens in (bag.tokens, bag.tokens.tolist(), bag.tokens.astype(np.uint64), bag.tokens.astype(">i2")):
        assert np.array_equal(model.decode(tokens), bag.image)
    both = model.decode([bag.tokens, bag.tokens])
    assert both.shape == (2, 32, 32, 3) and np.array_equal(both[1], bag.image)
    assert model.decode(np.zeros((0, 30), np.uint64)).shape == (0, 32, 32, 3)


def test_encode_takes_every_kind_of_image(model, bag, tmp_path):
    bag.save(tmp_path / "a.png")
    tokens = model.encode(bag.image)
    assert tokens.shape == (30,) and tokens.dtype == np.int32
    mirrored = np.asfortranarray(bag.image[:, ::-1])[:, ::-1]
    assert not mirrored.flags.c_contiguous
    for image in (bag, bag.pil(), tmp_path / "a.png", str(tmp_path / "a.png"), mirrored, bag.pil().convert("RGBA")):
        assert np.array_equal(model.encode(image), tokens)
    for images in (
        [bag, bag.pil(), bag.image],
        np.stack([bag.image] * 3),
        (image for image in [bag, bag, bag]),
    ):
        assert np.array_equal(model.encode(images), np.stack([tokens] * 3))
    assert model.encode([]).shape == (0, 30)


def test_encode_is_the_command_lines(model, var, tmp_path):
    gradient = np.add.outer(np.arange(40), np.arange(60))[..., None] * np.array([1, 2, 0])
    PilImage.fromarray(gradient.astype(np.uint8)).save(tmp_path / "photo.png")
    var("encode", tmp_path / "photo.png", "-o", tmp_path / "photo.tokens")
    content = (tmp_path / "photo.tokens").read_bytes()
    assert model.encode(tmp_path / "photo.png").tobytes() in content
    var("reconstruct", tmp_path / "photo.png", "-o", tmp_path / "back.png")
    with PilImage.open(tmp_path / "back.png") as back:
        assert np.array_equal(model.reconstruct(gradient.astype(np.uint8)), np.asarray(back))
    assert model.reconstruct([gradient.astype(np.uint8)]).shape == (1, 32, 32, 3)


def test_score_is_the_logits_log_softmax(model, bag):
    tokens = model.encode(bag)
    logits = model.logits(tokens, "bag").astype(np.float64)
    assert logits.shape == (30, 512)
    nats = logits[np.arange(30), tokens] - np.log(np.exp(logits).sum(axis=1))
    scores = model.score(bag, [8, None])
    assert scores.dtype == np.float64 and scores[0] == pytest.approx(nats.sum(), rel=1e-5)
    assert model.score([bag, bag], range(10)).shape == (2, 10)
    assert model.score(bag, range(10)).argmax() == 8
    both = model.logits([tokens, tokens], [8, None])
    assert both.shape == (2, 30, 512) and both.dtype == np.float32
    assert np.array_equal(both[0], model.logits(tokens, 8))
    assert np.array_equal(both[1], model.logits(tokens, -1))
    assert np.array_equal(model.logits([tokens, tokens], 8)[1], both[0])


def test_latents_are_maps(model, bag):
    latents = model.latents(bag.tokens)
    assert latents.shape == (16, 4, 4) and latents.dtype == np.float32
    several = model.latents(np.stack([bag.tokens, model.encode(bag)]))
    assert several.shape == (2, 16, 4, 4) and np.array_equal(several[0], latents)
    other = bag.tokens.copy()
    other[-16] = (other[-16] + 1) % model.codes
    differ = (model.latents(other) != latents).any(axis=0)
    assert differ[0, 0] and not differ[3, 3], "the first cell of the finest map is the top left"


def test_models_are_files_bytes_or_built_in(model, bag):
    with varimage.load() as built_in, varimage.load(BUILT_IN_FILE) as file:
        assert (built_in.name, file.name) == ("built-in", "default.safetensors")
        sizes = (built_in.side, built_in.ladder, built_in.scales, built_in.tokens, built_in.codes, built_in.classes)
        assert sizes == (64, (1, 2, 3, 4, 6, 8), 6, 130, 1024, 57)
        images = [each.sample("cat face", seed=5)[0].image for each in (built_in, file)]
        assert np.array_equal(*images) and images[0].shape == (64, 64, 3)
    path = MODEL_FILE
    for where in (path, str(path), path.read_bytes(), bytearray(path.read_bytes())):
        with varimage.load(where) as other:
            assert np.array_equal(other.sample(8, seed=5)[0].image, bag.image)
    with varimage.load(path) as other:
        assert other.name == model.name == "fashion_reference.safetensors"
        sizes = (other.side, other.ladder, other.scales, other.tokens, other.codes, other.classes)
        assert sizes == (32, (1, 2, 3, 4), 4, 30, 512, 10)
        assert (other.device, other.isa) == ("cpu", model.isa) and other.threads >= 1
        assert not other.closed
    assert other.closed and repr(other).endswith(", closed>")
    other.close()
    with pytest.raises(ValueError, match="the model is closed"):
        other.sample(3)
    with varimage.load(vae=path) as vqvae:
        assert vqvae.classes == 0 and np.array_equal(vqvae.decode(bag.tokens), bag.image)
        with pytest.raises(varimage.VarError, match="the model has no transformer"):
            vqvae.sample(3)
