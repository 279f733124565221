//! pool against a naive oracle.

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::{Dims, Pool, Pooling};
use crate::ops::testing::{BackendOutput, on_each_backend, random};
use crate::ops::{Channels, Elementwise};

/// `of` applied to the values of each window, in f64.
fn oracle(x: &[f32], d: Dims, of: fn(&[f64]) -> f64) -> Vec<f64> {
    let [height, width] = d.out_grid();
    let mut out = Vec::new();
    for at in 0..d.batch * height * width * d.channels {
        let (cell, c) = (at / d.channels, at % d.channels);
        let (picture, y, column) = (cell / width / height, cell / width % height, cell % width);
        let mut window = Vec::new();
        for (down, right) in (0..d.kernel * d.kernel).map(|i| (i / d.kernel, i % d.kernel)) {
            let y = (y * d.stride + down).wrapping_sub(d.padding);
            let column = (column * d.stride + right).wrapping_sub(d.padding);
            if y < d.height && column < d.width {
                let cell = (picture * d.height + y) * d.width + column;
                window.push(f64::from(x[cell * d.channels + c]));
            }
        }
        out.push(of(&window));
    }
    out
}

fn max(window: &[f64]) -> f64 {
    window.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

fn mean(window: &[f64]) -> f64 {
    window.iter().sum::<f64>() / window.len() as f64
}

/// The channels that are the operation's; the others must stay as they were.
fn own(got: &BackendOutput, d: Dims) -> BackendOutput {
    let Channels { first, of } = d.into;
    let mut own = Vec::new();
    for cell in got.values.chunks_exact(of) {
        own.extend_from_slice(&cell[first..first + d.channels]);
        let others = cell[..first].iter().chain(&cell[first + d.channels..]);
        assert!(others.copied().all(|x| x == 7.0), "{}: another channel was written", got.name);
    }
    BackendOutput { values: own, ..got.part(0..0) }
}

fn compare(d: Dims) {
    let x = random(d.batch * d.height * d.width * d.channels, 5);
    let before = vec![7.0; d.out_len()];
    for got in on_each_backend!([out: d.out_len()], [x, before], |b| {
        b.copy(out, before).and_then(|()| b.pool(out, x, Pooling::Max, d))
    }) {
        own(&got, d).assert_as_close(&oracle(&x, d, max), 0.0);
    }
    for got in on_each_backend!([out: d.out_len()], [x, before], |b| {
        b.copy(out, before).and_then(|()| b.pool(out, x, Pooling::Average, d))
    }) {
        own(&got, d).assert_as_close(&oracle(&x, d, mean), 1e-6);
    }
}

fn of(side: usize, channels: usize, kernel: usize, stride: usize, padding: usize) -> Dims {
    let into = Channels::all(channels);
    Dims { batch: 2, height: side, width: side, channels, kernel, stride, padding, into }
}

#[test]
fn pool_matches_naive_on_inceptions_layers() {
    compare(of(35, 64, 3, 2, 0));
    compare(of(35, 192, 3, 1, 1));
    compare(Dims { into: Channels { first: 1024, of: 1280 }, ..of(17, 256, 3, 2, 0) });
    compare(of(8, 2048, 3, 1, 1));
    compare(of(8, 2048, 8, 1, 0));
}

#[test]
fn halving_leaves_an_odd_edge_out() {
    compare(Dims::halving(2, 7, 5, 3));
    compare(Dims::halving(1, 8, 6, 40));
    compare(of(7, 5, 2, 2, 0));
    assert_eq!(of(7, 5, 2, 2, 0).out_grid(), [3, 3]);
}

#[test]
#[should_panic(expected = "a window of 2 on 3 cells, padding 2")]
fn out_grid_refuses_windows_of_padding_alone() {
    of(3, 1, 2, 1, 2).out_grid();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn pool_matches_naive(
        batch in 0_usize..3,
        (height, width) in (1_usize..9, 1_usize..9),
        channels in 1_usize..40,
        kernel in 1_usize..6,
        stride in 1_usize..4,
        padding in 0_usize..5,
        (first, after) in (0_usize..9, 0_usize..9),
    ) {
        let kernel = kernel.min(height.min(width));
        let padding = padding.min(kernel - 1);
        let into = Channels { first, of: first + channels + after };
        compare(Dims { batch, height, width, channels, kernel, stride, padding, into });
    }

    #[test]
    fn halving_keeps_the_maximum_of_four_cells(
        batch in 0_usize..3, height in 2_usize..8, width in 2_usize..8, channels in 1_usize..40,
    ) {
        compare(Dims::halving(batch, height, width, channels));
    }
}
