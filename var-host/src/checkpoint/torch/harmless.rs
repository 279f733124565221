//! Classes that a trainer's settings and statistics are made of: values that hold no tensors, and that
//! nothing is run for.

/// Whether values of `module.name` may be passed over.
pub(super) fn is_harmless(module: &str, name: &str) -> bool {
    match module {
        "argparse" => name == "Namespace",
        "types" => name == "SimpleNamespace",
        "pathlib" | "pathlib._local" => {
            matches!(name, "Path" | "PosixPath" | "WindowsPath")
                || matches!(name, "PurePath" | "PurePosixPath" | "PureWindowsPath")
        }
        "datetime" => matches!(name, "datetime" | "date" | "time" | "timedelta" | "timezone"),
        "decimal" => name == "Decimal",
        "fractions" => name == "Fraction",
        "uuid" => name == "UUID",
        "typing" => name == "Any",
        "builtins" | "__builtin__" => is_plain_class(name),
        "copyreg" | "copy_reg" => name == "_reconstructor",
        "_codecs" => name == "encode",
        "torch" => is_of_torch(name),
        "torch.nn.parameter" => matches!(name, "Parameter" | "Buffer" | "UninitializedParameter"),
        "torch.serialization" => name == "_get_layout",
        "torch.torch_version" => name == "TorchVersion",
        "numpy" => is_of_numpy(name),
        "numpy.dtypes" => name.ends_with("DType"),
        "numpy.core.multiarray" | "numpy._core.multiarray" => {
            matches!(name, "scalar" | "_reconstruct")
        }
        "numpy.core.numeric" | "numpy._core.numeric" => name == "_frombuffer",
        "numpy.random._pickle" => {
            matches!(name, "__randomstate_ctor" | "__generator_ctor" | "__bit_generator_ctor")
        }
        "numpy.random._mt19937" => name == "MT19937",
        "numpy.random._pcg64" => name == "PCG64",
        "lightning_fabric.utilities.data" | "lightning.fabric.utilities.data" => {
            name == "AttributeDict"
        }
        "pytorch_lightning.utilities.parsing" => name == "AttributeDict",
        _ => ["omegaconf.", "pytorch_lightning.callbacks.", "lightning.pytorch.callbacks."]
            .iter()
            .any(|package| module.starts_with(package)),
    }
}

fn is_plain_class(name: &str) -> bool {
    matches!(name, "complex" | "slice" | "range" | "xrange" | "object" | "Ellipsis")
        || matches!(name, "NotImplemented" | "int" | "float" | "str" | "bool" | "bytes" | "unicode")
        || matches!(name, "set" | "frozenset" | "bytearray" | "long")
}

/// What of `torch` is neither a storage nor an element type.
fn is_of_torch(name: &str) -> bool {
    matches!(name, "device" | "Tensor" | "Generator" | "strided" | "sparse_coo" | "sparse_csr")
        || matches!(name, "contiguous_format" | "channels_last" | "preserve_format")
        || matches!(name, "per_tensor_affine" | "per_channel_affine" | "per_tensor_symmetric")
}

/// Arrays, their types, and the types of scalars.
fn is_of_numpy(name: &str) -> bool {
    let scalar = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '_');
    matches!(name, "ndarray" | "dtype")
        || matches!(scalar, "float" | "int" | "uint" | "complex" | "bool" | "str" | "bytes")
        || matches!(scalar, "datetime" | "timedelta" | "longdouble" | "object")
}
