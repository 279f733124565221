"""Visual autoregressive image generation: a class becomes an image, scale by scale.

>>> import varimage
>>> model = varimage.load()                      # the built-in model; or load("d16.safetensors")
>>> images = model.sample([12, "fruit"], cfg=4.0, seed=1)
>>> images[0].save("cat.png")
"""

from ._varimage import (
    Features,
    Image,
    Metrics,
    Model,
    RunOutcome,
    Step,
    VarError,
    __version__,
    evaluate,
    features,
    grid,
    load,
    train,
)

__all__ = [
    "Features",
    "Image",
    "Metrics",
    "Model",
    "RunOutcome",
    "Step",
    "VarError",
    "__version__",
    "evaluate",
    "features",
    "grid",
    "load",
    "train",
]
