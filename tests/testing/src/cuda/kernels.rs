//! Kernels of a text, as it declares them: `KERNEL(threads, blocks) void name(`.

use std::string::{String, ToString};
use std::vec::Vec;

use var_kernel::cuda::Precision;
use var_kernel::parts::KernelSource;

/// Begins a kernel.
const BEFORE: &str = "KERNEL(";

/// Names of the kernels of a source, in order.
pub fn names(source: &KernelSource) -> Vec<String> {
    let text = source.whole(Precision::F32);
    let names = text.split(BEFORE).skip(1).filter_map(|rest| {
        let (_, rest) = rest.split_once(") void ")?;
        rest.split_once('(').map(|(name, _)| name.to_string())
    });
    names.collect()
}

/// The most threads of a block of the kernel `name`, as the text says.
pub fn threads(source: &KernelSource, name: &str) -> Option<u32> {
    let text = source.whole(Precision::F32);
    match bounds(&text, name)?.split(", ").next()? {
        "THREADS" => {
            let (_, rest) = text.split_once("#define THREADS ")?;
            rest.split_whitespace().next()?.parse().ok()
        }
        number => number.parse().ok(),
    }
}

/// How many blocks of the kernel `name` a multiprocessor must hold at once, as the text says.
pub fn blocks(source: &KernelSource, name: &str) -> Option<u32> {
    let text = source.whole(Precision::F32);
    bounds(&text, name)?.split(", ").nth(1).map_or(Some(1), |number| number.parse().ok())
}

/// Value of the macro `KERNEL` for the kernel `name`.
fn bounds<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let start = text.find(&std::format!(") void {name}("))?;
    Some(text[..start].rsplit_once(BEFORE)?.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    // SAFETY: its kernels are never launched.
    #[allow(unsafe_code, reason = "a text for its names alone")]
    static SOURCE: KernelSource = unsafe {
        KernelSource::of_other_crate(
            "demo",
            "KERNEL(256, 2) void one(float* out) {}\nKERNEL(32) void two() {}",
        )
    };

    #[test]
    fn names_are_read_off_the_text() {
        assert_eq!(names(&SOURCE), ["one", "two"]);
    }

    #[test]
    fn threads_are_read_off_the_text() {
        assert_eq!(
            ["one", "two", "three"].map(|name| threads(&SOURCE, name)),
            [Some(256), Some(32), None]
        );
        assert_eq!(["one", "two"].map(|name| blocks(&SOURCE, name)), [Some(2), Some(1)]);
    }
}
