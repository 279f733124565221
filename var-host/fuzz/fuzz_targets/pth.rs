//! Any bytes, taken for a PyTorch file: read to the end or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use var_host::checkpoint::Checkpoint;

/// The start of every legacy file: magic number, protocol version, an empty system description.
const LEGACY: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.M\xe9\x03.}.";

fuzz_target!(|bytes: &[u8]| {
    // Given as they are, the bytes must be a whole archive or begin with the magic number. After
    // the start of a legacy file they are pickle instructions at once.
    let legacy = [LEGACY, bytes].concat();
    for file in [bytes, &legacy] {
        let Ok(checkpoint) = Checkpoint::from_bytes(file) else { continue };
        for info in checkpoint.tensors() {
            let tensor = checkpoint.tensor(info.name).expect("a listed tensor is there");
            assert_eq!(tensor.len(), info.shape.iter().product::<usize>());
            assert_eq!(tensor.to_f32().len(), tensor.len());
        }
    }
});
