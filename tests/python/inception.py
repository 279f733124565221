"""A file of generated weights for the network that FID is defined on."""

import json

import numpy as np


def convolutions():
    """Name, inner and outer channels, kernel."""
    yield from [
        ("Conv2d_1a_3x3", 3, 32, (3, 3)),
        ("Conv2d_2a_3x3", 32, 32, (3, 3)),
        ("Conv2d_2b_3x3", 32, 64, (3, 3)),
        ("Conv2d_3b_1x1", 64, 80, (1, 1)),
        ("Conv2d_4a_3x3", 80, 192, (3, 3)),
    ]
    one, three = (1, 1), (3, 3)
    for mixed, inner, pool in [("Mixed_5b", 192, 32), ("Mixed_5c", 256, 64), ("Mixed_5d", 288, 64)]:
        yield f"{mixed}.branch1x1", inner, 64, one
        yield f"{mixed}.branch5x5_1", inner, 48, one
        yield f"{mixed}.branch5x5_2", 48, 64, (5, 5)
        yield f"{mixed}.branch3x3dbl_1", inner, 64, one
        yield f"{mixed}.branch3x3dbl_2", 64, 96, three
        yield f"{mixed}.branch3x3dbl_3", 96, 96, three
        yield f"{mixed}.branch_pool", inner, pool, one
    yield "Mixed_6a.branch3x3", 288, 384, three
    yield "Mixed_6a.branch3x3dbl_1", 288, 64, one
    yield "Mixed_6a.branch3x3dbl_2", 64, 96, three
    yield "Mixed_6a.branch3x3dbl_3", 96, 96, three
    row, column = (1, 7), (7, 1)
    for mixed, c in [("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160), ("Mixed_6e", 192)]:
        yield f"{mixed}.branch1x1", 768, 192, one
        for part, inner, outer, kernel in [
            ("7x7_1", 768, c, one),
            ("7x7_2", c, c, row),
            ("7x7_3", c, 192, column),
            ("7x7dbl_1", 768, c, one),
            ("7x7dbl_2", c, c, column),
            ("7x7dbl_3", c, c, row),
            ("7x7dbl_4", c, c, column),
            ("7x7dbl_5", c, 192, row),
            ("_pool", 768, 192, one),
        ]:
            yield f"{mixed}.branch{part}", inner, outer, kernel
    for part, inner, outer, kernel in [
        ("3x3_1", 768, 192, one),
        ("3x3_2", 192, 320, three),
        ("7x7x3_1", 768, 192, one),
        ("7x7x3_2", 192, 192, row),
        ("7x7x3_3", 192, 192, column),
        ("7x7x3_4", 192, 192, three),
    ]:
        yield f"Mixed_7a.branch{part}", inner, outer, kernel
    for mixed, inner in [("Mixed_7b", 1280), ("Mixed_7c", 2048)]:
        for part, inner, outer, kernel in [
            ("1x1", inner, 320, one),
            ("3x3_1", inner, 384, one),
            ("3x3_2a", 384, 384, (1, 3)),
            ("3x3_2b", 384, 384, (3, 1)),
            ("3x3dbl_1", inner, 448, one),
            ("3x3dbl_2", 448, 384, three),
            ("3x3dbl_3a", 384, 384, (1, 3)),
            ("3x3dbl_3b", 384, 384, (3, 1)),
            ("_pool", inner, 192, one),
        ]:
            yield f"{mixed}.branch{part}", inner, outer, kernel


def write(path):
    random = np.random.default_rng(1)
    tensors = {}
    for name, inner, outer, kernel in convolutions():
        spread = 1.625 * (3 / (inner * kernel[0] * kernel[1])) ** 0.5
        tensors[f"{name}.conv.weight"] = random.uniform(-spread, spread, (outer, inner, *kernel))
        tensors[f"{name}.bn.weight"] = np.ones(outer)
        tensors[f"{name}.bn.bias"] = np.zeros(outer)
        tensors[f"{name}.bn.running_mean"] = random.uniform(-0.1, 0.1, outer)
        tensors[f"{name}.bn.running_var"] = random.uniform(1, 1.5, outer)
    tensors["fc.weight"] = random.uniform(-0.05, 0.05, (1008, 2048))
    tensors["fc.bias"] = np.zeros(1008)
    header, offset, parts = {}, 0, []
    for name, values in tensors.items():
        part = values.astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": values.shape, "data_offsets": [offset, offset + len(part)]}
        offset += len(part)
        parts.append(part)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(parts))
