//! Any bytes, taken for a tokens file: read whole or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use var_host::tokens::TokenFile;

fuzz_target!(|bytes: &[u8]| {
    // The header's length is written here, so that the fuzzer need not find it.
    let (header, data) = match bytes.iter().position(|&byte| byte == 0) {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, &[][..]),
    };
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header);
    file.extend(data);
    for file in [bytes, &file] {
        let Ok(tokens) = TokenFile::from_bytes(file) else { continue };
        assert_eq!(tokens.tokens().len(), tokens.images() * tokens.tokens_per_image());
        assert!(tokens.labels().is_none_or(|labels| labels.len() == tokens.images()));
        let again = TokenFile::from_bytes(&tokens.to_bytes()).expect("what was written is read");
        assert_eq!(again, tokens);
    }
});
