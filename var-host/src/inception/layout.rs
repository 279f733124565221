//! Every convolution of the network and how they are joined, under the names of the PyTorch port.
//!
//! A block's branches all read its input; their outputs lie side by side in its output. The variant
//! for FID differs from the published network in its poolings: averages do not count the border
//! (blocks 5, 6, 7b), and 7c takes the maximum.

use super::{CLASSES, POOLED};

/// A convolution, batch normalization folded into it, then ReLU.
pub(super) struct Conv {
    /// Its tensors' names up to `.conv` and `.bn`.
    pub(super) name: String,
    pub(super) inner: usize,
    pub(super) outer: usize,
    /// Rows and columns.
    pub(super) kernel: [usize; 2],
    pub(super) stride: usize,
    pub(super) padding: [usize; 2],
}

/// A pooling of 3 × 3 cells.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pooling {
    /// The mean, stride 1, padding 1.
    Average,
    /// The maximum, stride 1, padding 1.
    Max,
    /// The maximum, stride 2, no padding.
    Halving,
}

/// A pooling, then convolutions one after the other, then those that all read the last of these.
#[derive(Default)]
pub(super) struct Branch {
    pub(super) pooling: Option<Pooling>,
    pub(super) chain: Vec<Conv>,
    /// Their outputs are the block's; without any, the pooling's is.
    pub(super) ends: Vec<Conv>,
}

/// Branches side by side.
pub(super) struct InceptionBlock {
    pub(super) name: &'static str,
    /// Channels of the input.
    pub(super) inner: usize,
    pub(super) branches: Vec<Branch>,
}

/// The block of the spatial features, its first seven channels.
pub(super) const SPATIAL_BLOCK: &str = "Mixed_6d";

/// The tensor that turns pooled features into logits; its bias is not used.
pub(super) const LOGITS: (&str, [usize; 2]) = ("fc.weight", [CLASSES, POOLED]);

impl InceptionBlock {
    /// Channels of the output.
    pub(super) fn outer(&self) -> usize {
        self.branches.iter().map(|branch| branch.outer(self.inner)).sum()
    }
}

impl Branch {
    /// Channels of the output, for an input of `inner`.
    pub(super) fn outer(&self, inner: usize) -> usize {
        if self.ends.is_empty() { inner } else { self.ends.iter().map(|conv| conv.outer).sum() }
    }
}

/// All blocks, in order.
pub(super) fn blocks() -> Vec<InceptionBlock> {
    let mut blocks = vec![
        one("Conv2d_2b_3x3", 3, |conv| Branch {
            chain: vec![
                conv("Conv2d_1a_3x3", 3, 32).halving(3),
                conv("Conv2d_2a_3x3", 32, 32).valid(3),
            ],
            ends: vec![conv("Conv2d_2b_3x3", 32, 64).same(3, 3)],
            ..Branch::default()
        }),
        one("maxpool1", 64, |_| Branch::of(Pooling::Halving)),
        one("Conv2d_4a_3x3", 64, |conv| Branch {
            chain: vec![conv("Conv2d_3b_1x1", 64, 80)],
            ends: vec![conv("Conv2d_4a_3x3", 80, 192).valid(3)],
            ..Branch::default()
        }),
        one("maxpool2", 192, |_| Branch::of(Pooling::Halving)),
        block_a("Mixed_5b", 192, 32),
        block_a("Mixed_5c", 256, 64),
        block_a("Mixed_5d", 288, 64),
        block_b("Mixed_6a", 288),
    ];
    let widths = [("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160), ("Mixed_6e", 192)];
    blocks.extend(widths.map(|(name, width)| block_c(name, 768, width)));
    blocks.push(block_d("Mixed_7a", 768));
    blocks.push(block_e("Mixed_7b", 1280, Pooling::Average));
    blocks.push(block_e("Mixed_7c", 2048, Pooling::Max));
    blocks
}

/// Names a convolution of so many input and output channels.
type Naming = fn(&str, usize, usize) -> Conv;

/// A block of one branch; its convolutions have names of their own.
fn one(name: &'static str, inner: usize, branch: fn(Naming) -> Branch) -> InceptionBlock {
    InceptionBlock { name, inner, branches: vec![branch(Conv::named)] }
}

/// 5 × 5 and 3 × 3 kernels.
fn block_a(name: &'static str, inner: usize, pooled: usize) -> InceptionBlock {
    let conv = |branch: &str, inner, outer| Conv::named(&format!("{name}.{branch}"), inner, outer);
    let branches = vec![
        Branch::chain([conv("branch1x1", inner, 64)]),
        Branch::chain([conv("branch5x5_1", inner, 48), conv("branch5x5_2", 48, 64).same(5, 5)]),
        Branch::chain([
            conv("branch3x3dbl_1", inner, 64),
            conv("branch3x3dbl_2", 64, 96).same(3, 3),
            conv("branch3x3dbl_3", 96, 96).same(3, 3),
        ]),
        Branch::chain([conv("branch_pool", inner, pooled)]).after(Pooling::Average),
    ];
    InceptionBlock { name, inner, branches }
}

/// From 35 × 35 to 17 × 17 cells.
fn block_b(name: &'static str, inner: usize) -> InceptionBlock {
    let conv = |branch: &str, inner, outer| Conv::named(&format!("{name}.{branch}"), inner, outer);
    let branches = vec![
        Branch::chain([conv("branch3x3", inner, 384).halving(3)]),
        Branch::chain([
            conv("branch3x3dbl_1", inner, 64),
            conv("branch3x3dbl_2", 64, 96).same(3, 3),
            conv("branch3x3dbl_3", 96, 96).halving(3),
        ]),
        Branch::of(Pooling::Halving),
    ];
    InceptionBlock { name, inner, branches }
}

/// 7 × 7 kernels in two steps.
fn block_c(name: &'static str, inner: usize, width: usize) -> InceptionBlock {
    let conv = |branch: &str, inner, outer| Conv::named(&format!("{name}.{branch}"), inner, outer);
    let branches = vec![
        Branch::chain([conv("branch1x1", inner, 192)]),
        Branch::chain([
            conv("branch7x7_1", inner, width),
            conv("branch7x7_2", width, width).same(1, 7),
            conv("branch7x7_3", width, 192).same(7, 1),
        ]),
        Branch::chain([
            conv("branch7x7dbl_1", inner, width),
            conv("branch7x7dbl_2", width, width).same(7, 1),
            conv("branch7x7dbl_3", width, width).same(1, 7),
            conv("branch7x7dbl_4", width, width).same(7, 1),
            conv("branch7x7dbl_5", width, 192).same(1, 7),
        ]),
        Branch::chain([conv("branch_pool", inner, 192)]).after(Pooling::Average),
    ];
    InceptionBlock { name, inner, branches }
}

/// From 17 × 17 to 8 × 8 cells.
fn block_d(name: &'static str, inner: usize) -> InceptionBlock {
    let conv = |branch: &str, inner, outer| Conv::named(&format!("{name}.{branch}"), inner, outer);
    let branches = vec![
        Branch::chain([conv("branch3x3_1", inner, 192), conv("branch3x3_2", 192, 320).halving(3)]),
        Branch::chain([
            conv("branch7x7x3_1", inner, 192),
            conv("branch7x7x3_2", 192, 192).same(1, 7),
            conv("branch7x7x3_3", 192, 192).same(7, 1),
            conv("branch7x7x3_4", 192, 192).halving(3),
        ]),
        Branch::of(Pooling::Halving),
    ];
    InceptionBlock { name, inner, branches }
}

/// Branches that end in a 1 × 3 and a 3 × 1 kernel side by side.
fn block_e(name: &'static str, inner: usize, pooling: Pooling) -> InceptionBlock {
    let conv = |branch: &str, inner, outer| Conv::named(&format!("{name}.{branch}"), inner, outer);
    let ends = |branch: &str, a: &str, b: &str| {
        let end = |suffix: &str| conv(&format!("{branch}{suffix}"), 384, 384);
        vec![end(a).same(1, 3), end(b).same(3, 1)]
    };
    let branches = vec![
        Branch::chain([conv("branch1x1", inner, 320)]),
        Branch {
            chain: vec![conv("branch3x3_1", inner, 384)],
            ends: ends("branch3x3", "_2a", "_2b"),
            ..Branch::default()
        },
        Branch {
            chain: vec![
                conv("branch3x3dbl_1", inner, 448),
                conv("branch3x3dbl_2", 448, 384).same(3, 3),
            ],
            ends: ends("branch3x3dbl", "_3a", "_3b"),
            ..Branch::default()
        },
        Branch::chain([conv("branch_pool", inner, 192)]).after(pooling),
    ];
    InceptionBlock { name, inner, branches }
}

impl Conv {
    /// A kernel of one cell.
    fn named(name: &str, inner: usize, outer: usize) -> Self {
        let name = name.to_owned();
        Self { name, inner, outer, kernel: [1, 1], stride: 1, padding: [0, 0] }
    }

    /// Another kernel, the output as large as the input.
    fn same(self, rows: usize, columns: usize) -> Self {
        Self { kernel: [rows, columns], padding: [rows / 2, columns / 2], ..self }
    }

    /// A square kernel without padding.
    fn valid(self, side: usize) -> Self {
        Self { kernel: [side; 2], ..self }
    }

    /// The same at every second cell.
    fn halving(self, side: usize) -> Self {
        Self { stride: 2, ..self.valid(side) }
    }
}

impl Branch {
    /// Convolutions one after the other.
    fn chain<const LENGTH: usize>(convs: [Conv; LENGTH]) -> Self {
        let mut chain = Vec::from(convs);
        let ends = chain.split_off(LENGTH - 1);
        Self { pooling: None, chain, ends }
    }

    /// A pooling alone.
    fn of(pooling: Pooling) -> Self {
        Self { pooling: Some(pooling), ..Self::default() }
    }

    fn after(self, pooling: Pooling) -> Self {
        Self { pooling: Some(pooling), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_has_its_published_size() {
        let blocks = blocks();
        for pair in blocks.windows(2) {
            assert_eq!(pair[0].outer(), pair[1].inner, "{} to {}", pair[0].name, pair[1].name);
        }
        assert_eq!(blocks.last().map(InceptionBlock::outer), Some(POOLED));
        let branches = || blocks.iter().flat_map(|block| &block.branches);
        let convs: Vec<&Conv> =
            branches().flat_map(|branch| branch.chain.iter().chain(&branch.ends)).collect();
        assert_eq!(convs.len(), 94);
        let weights = |conv: &Conv| conv.outer * conv.inner * conv.kernel[0] * conv.kernel[1];
        // With four numbers of each normalization, 2048 · 1008 + 1008 of the last layer.
        let all: usize = convs.iter().map(|conv| weights(conv) + 4 * conv.outer).sum();
        assert_eq!(all + CLASSES * POOLED + CLASSES, 23_885_392);
    }
}
