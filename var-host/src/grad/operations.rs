//! The list of operations with a gradient.

use var_kernel::memory::Device;

use super::backend::Recordable;
use super::memory::NodeContext;
use super::span::Span;
use super::sums::Sums;
use super::tape::operation::{Operation, Spans};
use super::{
    attention, conv2d, cross_entropy, elementwise, embedding, feature_distance, group_norm,
    layer_norm, linear, pool, resize, split_qkv,
};

/// Declares, for each operation `Name: folder, gradient's trait, node;`, a variant of [`Node`] and a part of
/// [`TrainBackend`].
macro_rules! operations {
    ($($name:ident: $folder:ident, $backward:path, $node:path;)*) => {
        /// All operations of a model, forwards and backwards.
        pub trait TrainBackend: Recordable + Sums $(+ $backward)* {}

        impl<B: Recordable + Sums $(+ $backward)*> TrainBackend for B {}

        /// An operation on the tape.
        #[derive(Clone, Debug)]
        pub(crate) enum Node {
            $($name($node),)*
        }

        $(impl From<$node> for Node {
            fn from(node: $node) -> Self {
                Self::$name(node)
            }
        })*

        impl Spans for Node {
            fn outs(&self) -> &[Span] {
                match self {
                    $(Self::$name(node) => node.outs(),)*
                }
            }

            fn written(&self) -> &[Span] {
                match self {
                    $(Self::$name(node) => node.written(),)*
                }
            }

            fn inputs(&self) -> Vec<Span> {
                match self {
                    $(Self::$name(node) => node.inputs(),)*
                }
            }
        }

        impl<B: TrainBackend> Operation<B> for Node {
            fn scratch(&self, b: &B) -> usize {
                match self {
                    $(Self::$name(node) => node.scratch(b),)*
                }
            }

            fn backward(
                &self,
                b: &B,
                m: &mut NodeContext<'_, '_, <B as Device>::Slice>,
            ) -> Result<(), <B as Device>::Error> {
                match self {
                    $(Self::$name(node) => node.backward(b, m),)*
                }
            }

            fn recompute(
                &self,
                b: &B,
                values: &mut <B as Device>::Slice,
                weights: &<B as Device>::Slice,
            ) -> Result<(), <B as Device>::Error> {
                match self {
                    $(Self::$name(node) => node.recompute(b, values, weights),)*
                }
            }
        }

        /// The kernels of all gradients, and the optimizer's.
        #[cfg(all(test, feature = "cuda"))]
        pub(super) static SOURCES: &[&var_kernel::parts::KernelSource] = &[
            &super::kernel_sources::ADAMW,
            &super::sums::cuda::SOURCE,
            $(&super::$folder::cuda::SOURCE,)*
        ];
    };
}

operations! {
    Attention: attention, attention::AttentionBackward, attention::node::Node;
    Conv2d: conv2d, conv2d::Conv2dBackward, conv2d::node::Node;
    CrossEntropy: cross_entropy, cross_entropy::CrossEntropyBackward, cross_entropy::node::Node;
    Elementwise: elementwise, elementwise::ElementwiseBackward, elementwise::node::Node;
    Embedding: embedding, embedding::EmbeddingBackward, embedding::node::Node;
    FeatureDistance: feature_distance, feature_distance::FeatureDistanceBackward, feature_distance::node::Node;
    GroupNorm: group_norm, group_norm::GroupNormBackward, group_norm::node::Node;
    LayerNorm: layer_norm, layer_norm::LayerNormBackward, layer_norm::node::Node;
    Linear: linear, linear::LinearBackward, linear::node::Node;
    Pool: pool, pool::PoolBackward, pool::node::Node;
    Resize: resize, resize::ResizeBackward, resize::node::Node;
    SplitQkv: split_qkv, split_qkv::SplitQkvBackward, split_qkv::node::Node;
}
