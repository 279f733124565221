"""The reference's demo notebook, line by line: eight images of four classes in one row.

    python demo_sample.py                                             # the built-in model
    python demo_sample.py --model d16.safetensors                     # of `var convert`
    python demo_sample.py --model var_d16.pth --vae vae_ch160v4096z32.pth --device cuda:0

The notebook's random numbers are PyTorch's, so that its images are others of the same classes.
"""

import argparse
import pathlib

import varimage

# ---- download and build: the checkpoints are files, the model's sizes are read off them
options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
options.add_argument("--model", help="d16, d20, d24, d30 or d36; default: the built-in one")
options.add_argument("--vae", help="the VQVAE, where the model's file has none")
options.add_argument("--device", default="cpu", help="cpu or cuda:N; there in f16, as under autocast")
options.add_argument("--output", type=pathlib.Path, default=pathlib.Path("demo.png"))
arguments = options.parse_args()
model = varimage.load(arguments.model, vae=arguments.vae, device=arguments.device)
print(model)

# ---- settings
seed = 0
num_sampling_steps = model.scales  # the notebook's number is not used there either: it is one step a scale
cfg = 4
class_labels: tuple[int, ...] = (980, 980, 437, 437, 22, 22, 562, 562)  # volcano, lighthouse, bald eagle, fountain
more_smooth = False  # smoother images, other distribution
if model.classes < 1000:
    class_labels = tuple(label % model.classes for label in class_labels)

# ---- sample: seed and index decide an image, no global generator and no switches of cuDNN
images = model.sample(
    class_labels,
    cfg=cfg,
    top_k=900,
    top_p=0.95,
    seed=seed,
    more_smooth=more_smooth,
    batch=len(class_labels),
    on_scale=lambda step: print(f"scale {step.scale + 1} of {num_sampling_steps}"),
)

# ---- show: one row of eight, without padding
row = varimage.grid(images, columns=8, padding=0)
try:
    from PIL import Image

    Image.fromarray(row).save(arguments.output)
    print(f"{arguments.output}: {row.shape[1]} × {row.shape[0]}")
except ImportError:
    for image in images:
        image.save(arguments.output.with_name(f"{arguments.output.stem}-{image.index}.png"))
