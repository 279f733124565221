"""Visual autoregressive image generation: a class becomes an image, scale by scale."""

from collections.abc import Callable, Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Protocol, SupportsFloat, SupportsIndex, TypeAlias, TypedDict, final, type_check_only

import numpy as np
import numpy.typing as npt
from PIL.Image import Image as PilImage
from typing_extensions import Unpack

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

_Path: TypeAlias = str | PathLike[str]
_Class: TypeAlias = SupportsIndex | str | None
_Pixels: TypeAlias = npt.NDArray[np.uint8]
_Tokens: TypeAlias = npt.NDArray[np.int32]
_AnImage: TypeAlias = _Pixels | Image | PilImage | _SupportsArray | _Path
_Images: TypeAlias = _AnImage | Iterable[_AnImage]
_SomeTokens: TypeAlias = npt.NDArray[np.integer[Any]] | Sequence[int] | Sequence[Sequence[int]] | _SupportsArray
_Device: TypeAlias = Literal["cpu", "cuda"] | str
_Precision: TypeAlias = Literal["f16", "bf16", "f32", "tf32"]
_Isa: TypeAlias = Literal["portable", "sse2", "avx2", "avx512", "neon"]
_OnScale: TypeAlias = Callable[[Step], object]

@type_check_only
class _SupportsArray(Protocol):
    def __array__(self) -> npt.NDArray[Any]: ...

@type_check_only
class _TrainOptions(TypedDict, total=False):
    # Model
    depth: SupportsIndex
    width: SupportsIndex | None
    heads: SupportsIndex | None
    classes: SupportsIndex | None
    anorm: bool
    saln: bool
    ini: SupportsFloat
    hd: SupportsFloat
    aln: SupportsFloat
    alng: SupportsFloat
    # Learning
    bs: SupportsIndex
    ac: SupportsIndex
    ep: SupportsIndex
    iterations: SupportsIndex | None
    tblr: SupportsFloat
    twd: SupportsFloat
    twde: SupportsFloat
    tclip: SupportsFloat
    ls: SupportsFloat
    wp: SupportsFloat
    wp0: SupportsFloat
    wpe: SupportsFloat
    sche: str
    fp16: SupportsIndex
    pg: SupportsFloat
    pg0: SupportsIndex
    pgwp: SupportsFloat
    drop_path: SupportsFloat | None
    cond_drop: SupportsFloat
    ema: SupportsFloat
    no_shuffle: bool
    balance: SupportsFloat
    seed: SupportsIndex
    # Writing
    save_every: SupportsIndex | Literal["epoch"]
    val_every: SupportsIndex | Literal["end"]
    sample_every: SupportsIndex | Literal["end"]
    log_every: SupportsIndex
    details_every: SupportsIndex
    keep: SupportsIndex

__version__: str

class VarError(Exception):
    """A file that holds no such model or images, a model that cannot serve the request, or a device that
    cannot be used."""

def load(
    path: _Path | bytes | bytearray | None = None,
    *,
    vae: _Path | None = None,
    device: _Device = "cpu",
    precision: _Precision | None = None,
    threads: SupportsIndex = 0,
    isa: _Isa | None = None,
) -> Model:
    """Opens a model: a file of `var convert` or `var train`, its bytes, a published checkpoint with its VQVAE
    in `vae`, or without `path` the built-in model."""

@final
class Model:
    """A model in use: weights, threads, working memory."""

    def sample(
        self,
        classes: _Class | Iterable[_Class],
        *,
        seed: SupportsIndex = 0,
        cfg: SupportsFloat = 1.5,
        temperature: SupportsFloat = 1.0,
        top_k: SupportsIndex = 900,
        top_p: SupportsFloat = 0.96,
        more_smooth: bool = False,
        first_index: SupportsIndex = 0,
        batch: SupportsIndex = 4,
        on_scale: _OnScale | None = None,
    ) -> list[Image]:
        """Draws an image of each class: a number, a name, or None."""

    def edit(
        self,
        image: _AnImage,
        region: Sequence[float],
        label: _Class = None,
        *,
        outside: bool = False,
        seed: SupportsIndex = 0,
        cfg: SupportsFloat = 1.5,
        temperature: SupportsFloat = 1.0,
        top_k: SupportsIndex = 900,
        top_p: SupportsFloat = 0.96,
        more_smooth: bool = False,
        first_index: SupportsIndex = 0,
        on_scale: _OnScale | None = None,
    ) -> Image | None:
        """Draws the inside of a box of an image anew, or with `outside` all but it; None if `on_scale` stops
        it."""

    def encode(self, image: _Images) -> _Tokens:
        """Tokens of an image: (tokens,); of several, (images, tokens)."""

    def decode(self, tokens: _SomeTokens) -> _Pixels:
        """The image of tokens: (side, side, 3); of (images, tokens), as many images."""

    def reconstruct(self, image: _Images) -> _Pixels:
        """An image encoded and decoded again; of several, as many."""

    def score(self, image: _Images, classes: _Class | Iterable[_Class]) -> npt.NDArray[np.float64]:
        """Log-likelihood of an image under each class, in nats: (classes,); of several, (images, classes)."""

    def logits(self, tokens: _SomeTokens, labels: _Class | Iterable[_Class]) -> npt.NDArray[np.float32]:
        """Teacher-forced logits of an image's tokens: (tokens, codes); of several, (images, tokens, codes)."""

    def latents(self, tokens: _SomeTokens) -> npt.NDArray[np.float32]:
        """Latents of tokens, the sum of all scales that the decoder reads: (latent, finest, finest)."""

    def label(self, class_: _Class) -> int:
        """The label of a class by its name, its number, or None (the number of classes)."""

    def close(self) -> None:
        """Frees weights, threads and memory after the calls under way."""

    @property
    def closed(self) -> bool: ...
    @property
    def name(self) -> str: ...
    @property
    def device(self) -> str: ...
    @property
    def threads(self) -> int: ...
    @property
    def isa(self) -> str: ...
    @property
    def side(self) -> int: ...
    @property
    def ladder(self) -> tuple[int, ...]: ...
    @property
    def scales(self) -> int: ...
    @property
    def tokens(self) -> int: ...
    @property
    def codes(self) -> int: ...
    @property
    def classes(self) -> int: ...
    @property
    def class_names(self) -> list[str]: ...
    def __enter__(self) -> Model: ...
    def __exit__(self, *_exception: object) -> None: ...

@final
class Image:
    """A drawn image: pixels, tokens, and the request that draws it again."""

    @property
    def image(self) -> _Pixels:
        """The pixels: (height, width, 3), not a copy."""

    @property
    def tokens(self) -> _Tokens:
        """The tokens, scale by scale."""

    @property
    def parameters(self) -> dict[str, str]:
        """The command, the model and the request by name, as `save` keeps them."""

    @property
    def label(self) -> int:
        """The class; -1 for none."""

    @property
    def class_name(self) -> str: ...
    @property
    def index(self) -> int: ...
    @property
    def seed(self) -> int: ...
    def pil(self) -> PilImage:
        """The image as one of Pillow."""

    def save(self, path: _Path) -> None:
        """Writes a PNG file with `parameters` as text, as `var sample` does; replaces a file of that name."""

    def _repr_png_(self) -> bytes: ...
    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]: ...

@final
class Step:
    """State after a scale, for the time of the callback."""

    @property
    def scale(self) -> int:
        """The scale just drawn, from 0."""

    @property
    def scales(self) -> int: ...
    @property
    def indices(self) -> tuple[int, ...]:
        """Indices of the images drawn together."""

    def tokens(self, n: int = 0) -> _Tokens:
        """Tokens of this scale of the nth image drawn together: (side, side)."""

    def image(self, n: int = 0) -> _Pixels:
        """The nth image drawn together as it would look if the run ended here."""

@final
class Metrics:
    """How good samples are; a metric is None where its inputs are not known, and `missing` says why."""

    @property
    def fid(self) -> float: ...
    @property
    def sfid(self) -> float | None: ...
    @property
    def inception_score(self) -> float | None: ...
    @property
    def precision(self) -> float | None: ...
    @property
    def recall(self) -> float | None: ...
    @property
    def missing(self) -> dict[str, str]: ...

@final
class Features:
    """Features of images by the network that FID is defined on, a row for each image."""

    @property
    def pooled(self) -> npt.NDArray[np.float32]: ...
    @property
    def spatial(self) -> npt.NDArray[np.float32]: ...
    @property
    def logits(self) -> npt.NDArray[np.float32]: ...

def evaluate(
    samples: _Images,
    reference: _Images,
    inception: _Path,
    *,
    device: _Device = "cpu",
    threads: SupportsIndex = 0,
    isa: _Isa | None = None,
) -> Metrics:
    """FID, sFID, Inception Score, precision and recall of samples against a reference."""

def features(
    images: _Images,
    inception: _Path,
    *,
    device: _Device = "cpu",
    threads: SupportsIndex = 0,
    isa: _Isa | None = None,
) -> Features:
    """Features of images by the network that FID is defined on."""

def grid(images: _Images, columns: SupportsIndex = 8, padding: SupportsIndex = 0) -> _Pixels:
    """Lays images of one size out in rows: (height, width, 3)."""

@final
class RunOutcome:
    """How a run ended."""

    @property
    def checkpoint(self) -> Path:
        """The newest checkpoint, a model file."""

    @property
    def iterations(self) -> int:
        """Iterations done, those of earlier sessions included."""

    @property
    def validation(self) -> dict[str, Any] | None:
        """The last validation by the log's keys; None without one."""

    @property
    def stopped(self) -> bool:
        """Whether `on_log` ended it."""

def train(
    data: _Path,
    out: _Path,
    *,
    vae: _Path | Literal["built-in"],
    device: _Device = "cpu",
    threads: SupportsIndex = 0,
    isa: _Isa | None = None,
    on_log: Callable[[dict[str, Any]], object] | None = None,
    **options: Unpack[_TrainOptions],
) -> RunOutcome:
    """Trains a transformer on the images of `data`/train/CLASS/*, into the folder `out`, from where it stood."""
