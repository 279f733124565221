//! Any bytes, taken for a safetensors header and its data: read to the end or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use var_host::checkpoint::Checkpoint;

fuzz_target!(|bytes: &[u8]| {
    // The length is written here, so that the fuzzer need not find it.
    let (header, data) = match bytes.iter().position(|&byte| byte == 0) {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, &[][..]),
    };
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header);
    file.extend(data);
    for file in [bytes, &file] {
        let Ok(checkpoint) = Checkpoint::from_bytes(file) else { continue };
        for info in checkpoint.tensors() {
            let tensor = checkpoint.tensor(info.name).expect("a listed tensor is there");
            assert_eq!(tensor.len(), info.shape.iter().product::<usize>());
            assert_eq!(tensor.to_f32().len(), tensor.len());
        }
    }
});
