"""Images: the command line's bytes, batches, indices, callbacks."""

import inspect

import numpy as np
import pytest
import varimage
from conftest import MODEL_FILE
from PIL import Image as PilImage


@pytest.mark.parametrize("label", [3, 8])
def test_files_are_the_command_lines(model, var, tmp_path, label):
    for seed in range(5):
        var("sample", "--class", label, "--count", 1, "--seed", seed, "-o", f"{tmp_path}/{seed}/")
        model.sample(label, seed=seed)[0].save(tmp_path / f"{seed}.png")
        there = tmp_path / f"{seed}/000000-class{label}.png"
        assert there.read_bytes() == (tmp_path / f"{seed}.png").read_bytes()


def test_options_are_the_command_lines(model, var, tmp_path):
    options = {"cfg": 4.0, "temperature": 0.5, "top_k": 50, "top_p": 0.5, "more_smooth": True}
    arguments = ["--cfg", 4, "--temperature", 0.5, "--top-k", 50, "--top-p", 0.5, "--more-smooth", "--seed", 2**40]
    var("sample", "--class", "8,-1", "--per-class", 2, *arguments, "-o", f"{tmp_path}/")
    there = sorted(tmp_path.glob("*.png"))
    assert len(there) == 4
    for path in there:
        with PilImage.open(path) as file:
            index, label = int(file.text["index"]), int(file.text["class"])
        image = model.sample(label, seed=2**40, first_index=index, **options)[0]
        image.save(tmp_path / "own.png")
        assert path.read_bytes() == (tmp_path / "own.png").read_bytes()


def test_an_image_depends_on_seed_and_index_alone(model):
    whole = model.sample(range(10), seed=3, batch=10)
    for other in (
        model.sample(np.arange(10, dtype=np.uint8), seed=np.int64(3), batch=1),
        varimage.load(MODEL_FILE, threads=1, isa="portable").sample(range(10), seed=3),
        [model.sample(n, seed=3, first_index=n)[0] for n in range(10)],
    ):
        for one, two in zip(whole, other, strict=True):
            assert np.array_equal(one.image, two.image)
            assert np.array_equal(one.tokens, two.tokens)
    assert not np.array_equal(whole[0].image, model.sample(0, seed=4)[0].image)


def test_classes_have_numbers_and_names(model):
    assert model.classes == 10 and model.class_names[8] == "bag"
    images = model.sample([8, "bag", "BAG", None, -1, np.int32(8)])
    assert [image.label for image in images] == [8, 8, 8, -1, -1, 8]
    assert [image.class_name for image in images] == ["bag"] * 3 + ["none"] * 2 + ["bag"]
    assert [image.index for image in images] == list(range(6))
    assert model.label("ankle_boot") == 9 and model.label(None) == model.label(-1) == 10
    assert model.sample([]) == []


def test_images_are_arrays_and_files(model, bag, tmp_path):
    assert bag.image.shape == (32, 32, 3) and bag.image.dtype == np.uint8
    assert bag.image is bag.image, "not a copy"
    assert np.asarray(bag) is bag.image and np.array(bag, dtype=float).dtype == float
    assert bag.tokens.shape == (model.tokens,) and bag.tokens.dtype == np.int32
    assert np.array_equal(np.asarray(bag.pil()), bag.image)
    bag.save(tmp_path / "a.png")
    with PilImage.open(tmp_path / "a.png") as file:
        assert np.array_equal(np.asarray(file), bag.image)
        assert file.text == bag.parameters
    assert bag._repr_png_() == (tmp_path / "a.png").read_bytes()
    assert bag.parameters["seed"] == "5" and bag.parameters["class_name"] == "bag"
    assert repr(bag) == "<varimage.Image 32 × 32, class 8 bag, seed 5, index 0>"
    with pytest.raises(ValueError, match=r"a\.jpg: images are saved as \.png"):
        bag.save(tmp_path / "a.jpg")
    with pytest.raises(FileNotFoundError, match="No such file"):
        bag.save(tmp_path / "none/a.png")


def test_every_scale_is_shown(model):
    seen = []

    def note(step):
        images = [step.image(n) for n in range(len(step.indices))]
        tokens = [step.tokens(n) for n in range(len(step.indices))]
        seen.append((step.scale, step.scales, step.indices, tokens, images))

    images = model.sample([1, 2, 3], batch=2, seed=9, on_scale=note)
    assert [scene[:3] for scene in seen] == [
        (scale, 4, indices) for indices in [(0, 1), (2,)] for scale in range(4)
    ]
    for scale, _, indices, tokens, shown in seen:
        side = model.ladder[scale]
        start = sum(side * side for side in model.ladder[:scale])
        for n, index in enumerate(indices):
            assert tokens[n].shape == (side, side)
            own = images[index].tokens[start : start + side * side]
            assert np.array_equal(tokens[n].ravel(), own)
            if scale == 3:
                assert np.array_equal(shown[n], images[index].image)
            else:
                assert not np.array_equal(shown[n], images[index].image)


@pytest.mark.parametrize("answer", [False, np.bool_(False)])
def test_false_stops_at_every_scale(model, answer):
    whole = model.sample([1, 2, 3], batch=2)
    for batch in range(2):
        for scale in range(4):
            calls = []

            def stop(step):
                calls.append(step.scale)
                return answer if len(calls) == 4 * batch + scale + 1 else None

            images = model.sample([1, 2, 3], batch=2, on_scale=stop)
            assert len(calls) == 4 * batch + scale + 1
            assert len(images) == 2 * batch
            for one, two in zip(images, whole):
                assert np.array_equal(one.image, two.image)
    assert len(model.sample([1], on_scale=lambda step: True)) == 1
    assert len(model.sample([1], on_scale=lambda step: 0.0)) == 1, "False itself stops"


def test_exceptions_in_the_callback_come_out(model):
    whole = model.sample(1, seed=2)[0]
    for scale in range(4):

        def fail(step):
            if step.scale == scale:
                raise LookupError(f"scale {scale}")

        with pytest.raises(LookupError, match=f"scale {scale}"):
            model.sample([1, 2], on_scale=fail)
        assert np.array_equal(model.sample(1, seed=2)[0].image, whole.image)


def test_a_callback_has_its_bounds(model, bag):
    kept = []
    with pytest.raises(RuntimeError, match="its callback cannot call it"):
        model.sample(1, on_scale=lambda step: model.encode(bag))
    with pytest.raises(RuntimeError, match="its callback cannot call it"):
        model.sample(1, on_scale=lambda step: model.close())
    with pytest.raises(IndexError, match="image 2 of 2"):
        model.sample([1, 2], on_scale=lambda step: step.tokens(2))
    model.sample(1, on_scale=kept.append)
    for step in kept:
        for ask in (step.image, step.tokens):
            with pytest.raises(RuntimeError, match="the step is over"):
                ask()
    assert repr(kept[1]) == "<varimage.Step scale 1 of 4, 1 images>"
    other = varimage.load(MODEL_FILE)
    model.sample(1, on_scale=lambda step: other.encode(step.image()).any())


def test_edit_keeps_the_rest(model, bag):
    region = (0.0, 0.0, 0.5, 1.0)
    edited = model.edit(bag, region, "trouser", seed=3)
    before = model.encode(bag)
    finest = before[-16:].reshape(4, 4), edited.tokens[-16:].reshape(4, 4)
    assert np.array_equal(finest[0][2:], finest[1][2:])
    assert not np.array_equal(finest[0][:2], finest[1][:2])
    assert edited.label == 1 and edited.parameters["command"] == "edit"
    outside = model.edit(bag, region, outside=True)
    finest = before[-16:].reshape(4, 4), outside.tokens[-16:].reshape(4, 4)
    assert np.array_equal(finest[0][:2], finest[1][:2])
    assert outside.label == -1
    assert model.edit(bag, region, on_scale=lambda step: step.scale < 2) is None


def test_defaults_are_the_command_lines(model, var, tmp_path):
    defaults = inspect.signature(varimage.Model.sample).parameters
    for name, default in {"cfg": 1.5, "top_k": 900, "top_p": 0.96, "seed": 0, "batch": 4}.items():
        assert defaults[name].default == default
    var("sample", "--class", 3, "--count", 1, "-o", f"{tmp_path}/")
    with PilImage.open(tmp_path / "000000-class3.png") as file:
        assert file.text == model.sample(3)[0].parameters


def test_grids(model, bag):
    grid = varimage.grid([bag, bag.image, bag.pil()], columns=2, padding=1)
    assert grid.shape == (65, 65, 3)
    assert np.array_equal(grid[33:, :32], bag.image) and (grid[33:, 33:] == 255).all()
    assert varimage.grid(np.stack([bag.image] * 9)).shape == (64, 256, 3)
    with pytest.raises(ValueError, match="no images"):
        varimage.grid([])
    with pytest.raises(ValueError, match="image 1 is 5 × 4, the first 32 × 32"):
        varimage.grid([bag, np.zeros((4, 5, 3), np.uint8)])
    with pytest.raises(ValueError, match="columns is 0, 1 to 65536 wanted"):
        varimage.grid([bag], columns=0)
