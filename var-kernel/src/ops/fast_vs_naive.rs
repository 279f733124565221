//! Each fast kernel = its naive twin, one thread a number with sums in `f64`: awkward sizes on every GPU, the
//! published models' on a real one.

use std::vec::Vec;

use super::attention::{self, Mask};
use super::conv2d::{self, Grid};
use super::group_norm::{self, Activation};
use super::linear::{self, Epilogue};
use super::split_qkv::{self, Normalization};
use super::testing::coarse;
use super::{
    Attention, Channels, Conv2d, CrossEntropy, GroupNorm, LayerNorm, Linear, PerRow, SplitQkv,
    layer_norm,
};
use crate::cpu;
use crate::cuda::testing::{TestGpu, gpus};
use crate::cuda::{Cuda, CudaError, Memory, Remote};
use crate::transfer::TokenTransfer;

type CudaResult = Result<(), CudaError>;

/// Runs `test` with each GPU and the sizes it can bear; `VAR_SIZES=awkward` leaves the published ones out.
fn on_each_gpu<S: Copy>(awkward: &[S], published: &[S], test: impl Fn(&TestGpu, S)) {
    for gpu in gpus().iter() {
        let few = std::env::var("VAR_SIZES").is_ok_and(|sizes| sizes == "awkward");
        let published = if gpu.name.starts_with("cuda") && !few { published } else { &[] };
        awkward.iter().chain(published).for_each(|size| test(gpu, *size));
    }
}

/// `length` numbers that each format holds as they are, on the GPU.
fn numbers(gpu: &TestGpu, length: usize, seed: u64) -> Memory {
    gpu.put(&coarse(length, seed))
}

/// |got − want| / |want|; where nothing was to be written, neither may have written.
fn distance(got: &[f32], want: &[f32]) -> f64 {
    assert_eq!(got.len(), want.len());
    let written = got.iter().zip(want).filter(|(got, want)| !(got.is_nan() && want.is_nan()));
    let (apart, length) = written.fold((0.0, 0.0), |(apart, length), (got, want)| {
        let (got, want) = (f64::from(*got), f64::from(*want));
        (apart + (got - want).powi(2), length + want.powi(2))
    });
    (apart / length).sqrt()
}

/// Fails unless both write the same into `length` numbers, but for rounding.
fn same(
    gpu: &TestGpu,
    what: &str,
    length: usize,
    fast: impl FnOnce(&Cuda, &mut Remote) -> CudaResult,
    naive: impl FnOnce(&Cuda, &mut Remote) -> CudaResult,
) {
    let (mut got, mut want) = (gpu.nans(length), gpu.nans(length));
    let name = &gpu.name;
    fast(&gpu.cuda, &mut got).unwrap_or_else(|error| panic!("{name}, {what}: {error}"));
    naive(&gpu.cuda, &mut want).unwrap_or_else(|error| panic!("{name}, {what}, naive: {error}"));
    check(gpu, what, &got, &want);
}

fn check(gpu: &TestGpu, what: &str, got: &Remote, want: &Remote) {
    let apart = distance(&gpu.read(got), &gpu.read(want));
    // Sums in f32; 16-bit outputs are rounded once, averages of 16-bit probabilities twice.
    let allowed = 1e-5 + 2.0 * gpu.rounding();
    assert!(apart <= allowed, "{}, {what}: off by {apart:e}, {allowed:e} allowed", gpu.name);
}

#[test]
fn linear_equals_its_twin() {
    // Past the edges of every tile; few rows; depths that are no whole accesses.
    let awkward = [(1, 32, 17), (9, 64, 40), (33, 72, 65), (70, 13, 129), (129, 8, 130)];
    let published = [
        (1, 1024, 6144),
        (32, 1024, 3072),
        (512, 1920, 7680),
        (512, 7680, 1920),
        (32_768, 1024, 4096),
        (32_768, 4096, 1024),
        (21_632, 1920, 5760),
    ];
    on_each_gpu(&awkward, &published, |gpu, (rows, inner, outer)| {
        let d = linear::Dims { rows, inner, outer };
        let (x, bias) = (numbers(gpu, rows * inner, 1), numbers(gpu, outer, 2));
        let weight = coarse(outer * inner, 3);
        let weight = gpu.matrix(cpu::Matrix::F32(&weight), &[outer, inner]);
        let (residual, gate) = (numbers(gpu, rows * outer, 4), numbers(gpu, 3 * outer, 5));
        let gate = PerRow { table: &*gate, start: outer, stride: 3 * outer, rows };
        let gated = Epilogue::Gated { residual: &*residual, gate };
        for (name, epilogue) in
            [("none", Epilogue::None), ("gelu", Epilogue::Gelu), ("gated", gated)]
        {
            let what = std::format!("linear {rows} × {inner} × {outer}, {name}");
            same(
                gpu,
                &what,
                rows * outer,
                |b, out| b.linear(out, &x, weight.view(), Some(&bias), epilogue, d),
                |b, out| b.linear_naive(out, &x, weight.view(), Some(&bias), epilogue, d),
            );
        }
    });
}

#[test]
fn conv2d_equals_its_twin() {
    let of = |batch, side, inner, outer, kernel: [usize; 2], grid| conv2d::Dims {
        batch,
        height: side,
        width: side + side % 2,
        inner,
        outer,
        kernel,
        grid,
        into: None,
    };
    let strided = |batch, side, inner, outer, kernel: [usize; 2], stride| {
        let padding = if stride == 1 { kernel.map(|side| side / 2) } else { [0, 0] };
        conv2d::Dims {
            width: side + 1,
            into: Some(Channels { first: 3, of: outer + 5 }),
            ..of(batch, side, inner, outer, kernel, Grid::Strided { stride, padding })
        }
    };
    let awkward = [
        of(1, 5, 8, 33, [3; 2], Grid::Same),
        of(2, 4, 24, 3, [3; 2], Grid::Doubled),
        of(1, 6, 16, 70, [3; 2], Grid::Halved),
        of(1, 9, 3, 10, [1; 2], Grid::Same),
        strided(1, 9, 3, 33, [3, 3], 2),
        strided(2, 5, 24, 70, [1, 7], 1),
        strided(3, 8, 16, 100, [5, 3], 1),
        strided(1, 7, 6, 20, [1, 1], 1),
    ];
    let published = [
        of(2, 256, 160, 160, [3; 2], Grid::Same),
        of(2, 128, 160, 160, [3; 2], Grid::Doubled),
        of(2, 256, 160, 160, [3; 2], Grid::Halved),
        of(2, 256, 160, 3, [3; 2], Grid::Same),
        of(16, 16, 640, 640, [3; 2], Grid::Same),
        of(4, 64, 320, 160, [1; 2], Grid::Same),
        of(64, 16, 32, 32, [3; 2], Grid::Same),
        strided(50, 299, 3, 32, [3, 3], 2),
        strided(50, 147, 32, 64, [3, 3], 1),
        strided(50, 73, 80, 192, [3, 3], 1),
        strided(50, 35, 48, 64, [5, 5], 1),
        strided(50, 35, 288, 384, [3, 3], 2),
        strided(50, 17, 128, 128, [1, 7], 1),
        strided(50, 17, 192, 192, [7, 1], 1),
        strided(50, 8, 448, 384, [3, 3], 1),
        strided(50, 8, 2048, 320, [1, 1], 1),
    ];
    on_each_gpu(&awkward, &published, |gpu, d| {
        let x = numbers(gpu, d.batch * d.height * d.width * d.inner, 1);
        let shape = [d.outer, d.inner, d.kernel[0], d.kernel[1]];
        let weight = coarse(shape.iter().product(), 2);
        let weight = gpu.matrix(cpu::Matrix::F32(&weight), &shape);
        let bias = numbers(gpu, d.outer, 3);
        let residual = numbers(gpu, d.out_cells() * d.outer, 4);
        for epilogue in [
            conv2d::ConvEpilogue::None,
            conv2d::ConvEpilogue::Residual(&*residual),
            conv2d::ConvEpilogue::Relu,
        ] {
            let mut nothing = gpu.nans(0);
            same(
                gpu,
                &std::format!("{d:?}, {epilogue:?}"),
                d.out_len(),
                |b, out| b.conv2d(out, &x, weight.view(), &bias, epilogue, &mut nothing, d),
                |b, out| b.conv2d_naive(out, &x, weight.view(), &bias, epilogue, d),
            );
        }
    });
}

#[test]
fn attention_equals_its_twin() {
    let of = |batch, heads, head_width, queries, keys| attention::Dims {
        batch,
        heads,
        head_width,
        queries,
        keys,
        capacity: keys + 1,
    };
    let awkward =
        [of(1, 2, 64, 65, 130), of(2, 1, 64, 1, 1), of(1, 3, 13, 9, 40), of(1, 1, 200, 9, 33)];
    let published = [
        of(128, 16, 64, 256, 680),
        of(2, 30, 64, 169, 424),
        of(16, 16, 64, 680, 680),
        of(16, 1, 640, 256, 256),
        of(2, 36, 64, 1024, 2240),
    ];
    on_each_gpu(&awkward, &published, |gpu, d| {
        let width = d.heads * d.head_width;
        let q = numbers(gpu, d.batch * d.queries * width, 1);
        let [k, v] = [2, 3].map(|seed| numbers(gpu, d.batch * d.capacity * width, seed));
        // Scales of a ladder; all keys belong to one of them.
        let ends = [1, 5, 14, 30, 55, 91, 155, 255, 424, usize::MAX];
        let ends: Vec<usize> = ends.map(|end: usize| end.min(d.keys)).to_vec();
        for mask in [Mask::None, Mask::UpToScale(&ends)] {
            let whole = d.queries == d.keys;
            if matches!(mask, Mask::UpToScale(_)) && !whole {
                continue;
            }
            same(
                gpu,
                &std::format!("{d:?}, {mask:?}"),
                d.batch * d.queries * width,
                |b, out| b.attention(out, &q, &k, &v, 0.5, mask, d),
                |b, out| b.attention_naive(out, &q, &k, &v, 0.5, mask, d),
            );
        }
    });
}

#[test]
fn group_norm_equals_its_twin() {
    let awkward = [(1, 1, 32, 32), (2, 65, 20, 4), (1, 130, 9, 3), (3, 64, 160, 32)];
    let published = [(16, 65_536, 160, 32), (2, 256, 640, 32), (64, 256, 64, 32)];
    on_each_gpu(&awkward, &published, |gpu, (batch, positions, channels, groups)| {
        let d = group_norm::Dims { batch, positions, channels, groups };
        let x = numbers(gpu, batch * positions * channels, 1);
        let (weight, bias) = (numbers(gpu, channels, 2), numbers(gpu, channels, 3));
        for activation in [Activation::None, Activation::Silu] {
            same(
                gpu,
                &std::format!("{d:?}, {activation:?}"),
                batch * positions * channels,
                |b, out| b.group_norm(out, &x, &weight, &bias, 1e-6, activation, d),
                |b, out| b.group_norm_naive(out, &x, &weight, &bias, 1e-6, activation, d),
            );
        }
    });
}

#[test]
fn layer_norm_equals_its_twin() {
    let sizes = [(1, 1), (3, 7), (2, 257), (5, 1028)];
    on_each_gpu(&sizes, &[(32_768, 1024), (2, 1920), (1360, 2304)], |gpu, (rows, channels)| {
        let d = layer_norm::Dims { rows, channels };
        let (x, table) = (numbers(gpu, rows * channels, 1), numbers(gpu, 2 * channels, 2));
        let part = |start| PerRow { table: &*table, start, stride: 2 * channels, rows };
        let (scale, shift) = (part(0), part(channels));
        same(
            gpu,
            &std::format!("{d:?}"),
            rows * channels,
            |b, out| b.layer_norm(out, &x, scale, shift, 1e-6, d),
            |b, out| b.layer_norm_naive(out, &x, scale, shift, 1e-6, d),
        );
    });
}

#[test]
fn cross_entropy_equals_its_twin() {
    on_each_gpu(&[(1, 2), (3, 300)], &[(1360, 4096)], |gpu, (rows, codes)| {
        let logits = numbers(gpu, rows * codes, 1);
        let targets: Vec<u32> = (0..rows).map(|row| (7 * row % codes) as u32).collect();
        same(
            gpu,
            &std::format!("cross_entropy {rows} × {codes}"),
            rows,
            |b, out| b.cross_entropy(out, &logits, &targets, 0.1),
            |b, out| b.cross_entropy_naive(out, &logits, &targets, 0.1),
        );
    });
}

#[test]
fn most_likely_equals_its_twin() {
    on_each_gpu(&[(1, 2), (3, 300)], &[(1360, 4096)], |gpu, (rows, codes)| {
        // Steps of 1/64: there are equals.
        let logits = numbers(gpu, rows * codes, 1);
        let mut tokens = [(); 2].map(|()| gpu.nans(rows));
        let [got, want] = &mut tokens;
        gpu.cuda.most_likely(got, &logits).unwrap();
        gpu.cuda.most_likely_naive(want, &logits).unwrap();
        let [got, want] = tokens.map(|tokens| {
            let mut read = std::vec![0; rows];
            gpu.cuda.download_tokens(&mut read, &tokens).unwrap();
            read
        });
        assert_eq!(got, want, "{}, {rows} × {codes}", gpu.name);
    });
}

#[test]
fn split_qkv_equals_its_twin() {
    let of = |batch, rows, heads, head_width, start, capacity| split_qkv::Dims {
        batch,
        rows,
        heads,
        head_width,
        start,
        capacity,
    };
    let awkward = [of(1, 1, 1, 1, 0, 1), of(2, 3, 3, 13, 2, 6), of(1, 5, 2, 64, 4, 9)];
    let published = [of(128, 256, 16, 64, 424, 680), of(2, 1024, 36, 64, 1216, 2240)];
    on_each_gpu(&awkward, &published, |gpu, d| {
        let width = d.heads * d.head_width;
        let qkv = numbers(gpu, d.batch * d.rows * 3 * width, 1);
        let [q_bias, v_bias] = [2, 3].map(|seed| numbers(gpu, width, seed));
        let log_scale = numbers(gpu, d.heads, 4);
        let unit = Normalization::UnitLength { scale: &*log_scale };
        let (of_q, kept) = (d.batch * d.rows * width, d.batch * d.capacity * width);
        let runs = || [of_q, kept, kept].map(|length| gpu.nans(length));
        for normalization in [Normalization::None, unit] {
            let (mut got, mut want) = (runs(), runs());
            let biases = Some([&*q_bias, &*v_bias]);
            let [q, k, v] = &mut got;
            gpu.cuda.split_qkv(q, k, v, &qkv, biases, normalization, d).unwrap();
            let [q, k, v] = &mut want;
            gpu.cuda.split_qkv_naive(q, k, v, &qkv, biases, normalization, d).unwrap();
            for ((got, want), name) in got.iter().zip(&want).zip(["q", "k", "v"]) {
                check(gpu, &std::format!("{name} of {d:?}"), got, want);
            }
        }
    });
}
