#!/usr/bin/env python3
"""var against the PyTorch reference, in turn, on the machine at hand: latency, images a second, memory, training.

  compare.py --var VAR --reference FOLDER [--device cuda] [--case NAME ...] [--runs N] [--limit SECONDS] [-o FILE.json]

FOLDER is a clone of the public reference code; it is read, never written. Both compute with made-up weights of the
published sizes in half precision (the reference under autocast, as its own sampling does), guidance 1.5, top-k 900,
top-p 0.96, the picture included. Every row's ratio is of medians of runs in the same minute. Each side of a case has
--limit seconds; after each case its row is in the file, beside those of earlier calls. With --device cpu, and small
cases, it shows that the script itself works.
"""
import argparse
import contextlib
import gc
import json
import os
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import types
import zlib

LADDERS = {"256": (1, 2, 3, 4, 5, 6, 8, 10, 13, 16), "512": (1, 2, 3, 4, 6, 9, 13, 18, 24, 32), "tiny": (1, 2, 3, 4)}
# name: depth, batch, ladder, images a second (else latency), target ratio
SAMPLING = {
    "d16-batch-1": (16, 1, "256", 6.0),
    "d16-batch-64": (16, 64, "256", 2.0),
    "d30-batch-1": (30, 1, "256", 4.0),
    "d30-batch-64": (30, 64, "256", 1.6),
    "d36-512-batch-8": (36, 8, "512", 1.8),
    "tiny": (2, 2, "tiny", 0.0),
}
# name: depth, images a step, ladder, target ratio
TRAINING = {"train-d16": (16, 64, "256", 1.4), "train-tiny": (2, 4, "tiny", 0.0)}
CLASSES = 1000


def load_reference(folder):
    # It asks the hub for a mixin that nothing here uses.
    try:
        import huggingface_hub  # noqa: F401
    except ImportError:
        stub = types.ModuleType("huggingface_hub")
        ignore = classmethod(lambda cls, **_: None)
        stub.PyTorchModelHubMixin = type("PyTorchModelHubMixin", (), {"__init_subclass__": ignore})
        sys.modules["huggingface_hub"] = stub
    sys.path.insert(0, folder)
    import models

    return models


def build(models, device, depth, ladder):
    import torch

    torch.manual_seed(0)
    vae, var = models.build_vae_var(
        device=device, patch_nums=LADDERS[ladder], num_classes=CLASSES, depth=depth, shared_aln=depth == 36
    )
    for parameter in vae.parameters():
        # Left as allocated by the reference, which expects a checkpoint.
        torch.nn.init.normal_(parameter, std=0.02)
    return vae, var


@contextlib.contextmanager
def within(seconds):
    """Raises TimeoutError in what takes longer."""

    def over(*_):
        raise TimeoutError(f"the reference takes more than {seconds} s")

    signal.signal(signal.SIGALRM, over)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


def free_memory(device):
    """Gives back what PyTorch keeps for itself: var's process wants it next."""
    import torch

    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()


class Clock:
    def __init__(self, device):
        import torch

        self.torch, self.device = torch, device

    def wait(self):
        if self.device == "cuda":
            self.torch.cuda.synchronize()

    def seconds(self, work):
        self.wait()
        begin = time.perf_counter()
        work()
        self.wait()
        return time.perf_counter() - begin

    def fresh_peak(self):
        if self.device == "cuda":
            self.torch.cuda.empty_cache()
            self.torch.cuda.reset_peak_memory_stats()

    def peak(self):
        return self.torch.cuda.max_memory_reserved() if self.device == "cuda" else None


def sample_reference(models, arguments, depth, batch, ladder):
    import torch

    clock = Clock(arguments.device)
    clock.fresh_peak()
    vae, var = build(models, arguments.device, depth, ladder)
    vae.eval(), var.eval()
    labels = torch.arange(batch, device=arguments.device) % CLASSES

    def once():
        kind = torch.float16 if arguments.device == "cuda" else torch.bfloat16
        with torch.inference_mode(), torch.autocast(arguments.device, enabled=True, dtype=kind, cache_enabled=True):
            var.autoregressive_infer_cfg(B=batch, label_B=labels, cfg=1.5, top_k=900, top_p=0.96, g_seed=0)

    for _ in range(2):
        once()
    return statistics.median(clock.seconds(once) for _ in range(arguments.runs)), clock.peak()


def run_var(arguments, command):
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=arguments.limit)


def sample_var(arguments, depth, batch, ladder):
    command = [arguments.var, "bench", "--json", "--quiet", "--device", arguments.device, "--depth", str(depth), "--dtype", "f16"]
    command += ["--batch", str(batch), "--cfg", "1.5", "--runs", str(arguments.runs), "--whole"]
    if ladder != "256":
        sides = LADDERS[ladder]
        command += ["--ladder", "_".join(map(str, sides))]
    report = json.loads(run_var(arguments, command).stdout)
    whole = next(stage for stage in report["stages"] if stage["stage"] == "whole image")
    return whole["seconds"], report


def png(path, side, seed):
    """A picture of noise: decoding it costs what a photograph costs."""
    import random

    rows = random.Random(seed)
    raw = b"".join(b"\0" + rows.randbytes(3 * side) for _ in range(side))
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)))
        file.write(chunk(b"IDAT", zlib.compress(raw, 1)) + chunk(b"IEND", b""))


def train_reference(models, arguments, depth, batch, ladder, vae_file):
    """The reference trainer's step in bf16: encoding, forward, backward, clipping, AdamW."""
    import torch

    clock = Clock(arguments.device)
    clock.fresh_peak()
    vae, var = build(models, arguments.device, depth, ladder)
    torch.save(vae.state_dict(), vae_file)
    vae.eval(), var.train()
    weights = [p for p in var.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=1e-4, betas=(0.9, 0.95), weight_decay=0.05, fused=True)
    side = 16 * LADDERS[ladder][-1]
    pictures = torch.rand(batch, 3, side, side, device=arguments.device) * 2 - 1
    labels = torch.randint(0, 10, (batch,), device=arguments.device)
    loss_of = torch.nn.CrossEntropyLoss(reduction="none")

    def once():
        with torch.no_grad():
            tokens = vae.img_to_idxBl(pictures)
            input = vae.quantize.idxBl_to_var_input(tokens)
        targets = torch.cat(tokens, dim=1)
        with torch.autocast(arguments.device, enabled=True, dtype=torch.bfloat16, cache_enabled=True):
            logits = var(labels, input)
            loss = loss_of(logits.view(-1, logits.shape[-1]), targets.view(-1)).view(batch, -1).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 2.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    for _ in range(3):
        once()
    speed = batch / statistics.median(clock.seconds(once) for _ in range(arguments.runs))
    return speed, clock.peak(), sum(weight.numel() for weight in weights)


def train_var(arguments, depth, batch, ladder, folder, vae_file):
    side = 16 * LADDERS[ladder][-1]
    for number in range(4 * batch):
        place = os.path.join(folder, "data", "train", str(number % 10))
        os.makedirs(place, exist_ok=True)
        png(os.path.join(place, f"{number}.png"), side, number)
    # A line of the log each `runs` iterations, the first ones left out: graphs are made in them.
    iterations = 2 * arguments.runs + 1
    command = [arguments.var, "train", "--device", arguments.device, "--data", os.path.join(folder, "data"), "-q"]
    command += ["--vae", vae_file, "--pn", "_".join(map(str, LADDERS[ladder])), "--depth", str(depth)]
    command += ["--bs", str(batch), "--fp16", "2", "--iterations", str(iterations), "--log-every", str(arguments.runs)]
    command += ["--save-every", "100000", "--mid-reso", "1"]
    # Blocks compute anew what does not fit the GPU.
    for recomputes in [False, True]:
        out = os.path.join(folder, f"run-{recomputes}")
        try:
            run_var(arguments, command + ["--out", out] + ["--recompute"] * recomputes)
            break
        except subprocess.CalledProcessError as error:
            if recomputes or "memory" not in error.stderr:
                raise
    with open(os.path.join(out, "log.jsonl")) as file:
        lines = [json.loads(line) for line in file]
    return [line["images_per_s"] for line in lines if "images_per_s" in line][-1], recomputes


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--var", required=True)
    parser.add_argument("--reference", required=True)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--case", action="append", choices=[*SAMPLING, *TRAINING])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--limit", type=int, default=300)
    parser.add_argument("-o", "--output")
    arguments = parser.parse_args()
    models = load_reference(arguments.reference)
    cases = arguments.case or [name for name in [*SAMPLING, *TRAINING] if "tiny" not in name]
    rows, failed = [], False
    if arguments.output and os.path.exists(arguments.output):
        with open(arguments.output) as file:
            rows = [row for row in json.load(file) if row["case"] not in cases]
    for case in cases:
        row = {"case": case}
        try:
            if case in SAMPLING:
                depth, batch, ladder, target = SAMPLING[case]
                seconds, report = sample_var(arguments, depth, batch, ladder)
                with within(arguments.limit):
                    theirs, peak = sample_reference(models, arguments, depth, batch, ladder)
                row.update(var_s=seconds, reference_s=theirs, ratio=theirs / seconds, target=target)
                row.update(device=report["device"], reference_peak_bytes=peak, peak_gflops=report["peak_gflops"])
                row.update(stages=report["stages"], kernels=report["kernels"][:12])
            else:
                depth, batch, ladder, target = TRAINING[case]
                with tempfile.TemporaryDirectory() as folder:
                    vae_file = os.path.join(folder, "vae.pth")
                    with within(arguments.limit):
                        theirs, peak, weights = train_reference(models, arguments, depth, batch, ladder, vae_file)
                    free_memory(arguments.device)
                    ours, recomputes = train_var(arguments, depth, batch, ladder, folder, vae_file)
                row.update(var_images_per_s=ours, reference_images_per_s=theirs, ratio=ours / theirs, target=target)
                row.update(recomputes=recomputes)
                # Forward and backward of the transformer alone, by 6 operations a weight and token.
                tokens = sum(side * side for side in LADDERS[ladder])
                flops = 6 * weights * tokens * ours
                peak_gflops = sample_var(arguments, 1, 1, "tiny")[1]["peak_gflops"]
                row.update(reference_peak_bytes=peak, share_of_peak=flops / (1e9 * peak_gflops))
            print(f"{case}: {row['ratio']:.2f} times the reference's speed, wanted {target}", flush=True)
        except subprocess.CalledProcessError as error:
            failed, row["error"] = True, error.stderr.strip()
            print(f"{case}: FAILED: {error.stderr.strip()}", flush=True)
        except subprocess.TimeoutExpired:
            failed, row["error"] = True, f"var takes more than {arguments.limit} s"
            print(f"{case}: FAILED: {row['error']}", flush=True)
        except Exception as error:  # One case that does not fit the GPU must not cost the others.
            failed, row["error"] = True, repr(error)
            print(f"{case}: FAILED: {error!r}", flush=True)
        rows.append(row)
        free_memory(arguments.device)
        if arguments.output:
            with open(arguments.output, "w") as file:
                json.dump(rows, file, indent=1)
    sys.exit(1 if failed else 0)


main()
