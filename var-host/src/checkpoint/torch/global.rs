//! The classes and functions a checkpoint may refer to.

use crate::checkpoint::torch::element::ElementType;
use crate::checkpoint::torch::harmless::is_harmless;

/// A class or a function on the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Global {
    /// A dictionary, of whatever class.
    Dict,
    /// A list, of whatever class.
    List,
    Size,
    RebuildTensor,
    /// The same of bytes, with their type.
    RebuildTypedTensor,
    RebuildParameter,
    /// A tensor of a class of its own, by another function of this list.
    RebuildAsType,
    /// Makes a tensor that cannot be read, of this kind.
    Unreadable(&'static str),
    TorchStorage(ElementType),
    ElementType(ElementType),
    /// Makes a value that is no tensor and holds none; the value is passed over.
    Skipped,
}

impl Global {
    /// The entry of the list for `module.name`, if there is one.
    pub(super) fn find(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("collections", "OrderedDict" | "defaultdict" | "Counter")
            | ("builtins" | "__builtin__", "dict")
            | ("easydict", "EasyDict")
            | ("yacs.config", "CfgNode") => Self::Dict,
            ("collections", "deque") | ("builtins" | "__builtin__", "list" | "tuple") => Self::List,
            ("torch", "Size") => Self::Size,
            ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_tensor_v3") => Self::RebuildTypedTensor,
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
                Self::RebuildParameter
            }
            ("torch._tensor", "_rebuild_from_type_v2") => Self::RebuildAsType,
            ("torch._utils", "_rebuild_sparse_tensor" | "_rebuild_sparse_csr_tensor") => {
                Self::Unreadable("a sparse tensor")
            }
            ("torch._utils", "_rebuild_qtensor") => Self::Unreadable("a quantized tensor"),
            ("torch._utils", "_rebuild_nested_tensor") => Self::Unreadable("a nested tensor"),
            ("torch._utils", "_rebuild_meta_tensor_no_storage") => {
                Self::Unreadable("a tensor of the device meta, without elements")
            }
            (
                "torch._utils",
                "_rebuild_device_tensor_from_numpy"
                | "_rebuild_device_tensor_from_cpu_tensor"
                | "_rebuild_xla_tensor",
            ) => Self::Unreadable("a tensor of another device"),
            ("torch" | "torch.storage", name) if ElementType::of_storage(name).is_some() => {
                Self::TorchStorage(ElementType::of_storage(name)?)
            }
            ("torch", name) if ElementType::named(name).is_some() => {
                Self::ElementType(ElementType::named(name)?)
            }
            _ if is_harmless(module, name) => Self::Skipped,
            _ => return None,
        })
    }
}
