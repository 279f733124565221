//! Round trips, and files that are wrong in every way the format allows.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

/// A tensor of the given type, shape and bytes, in a file.
type Tensor<'a> = (&'a str, Dtype, Vec<usize>, &'a [u8]);

fn file(tensors: &[Tensor<'_>], ladder: Option<&str>) -> Vec<u8> {
    let views = tensors.iter().map(|(name, dtype, shape, data)| {
        (*name, TensorView::new(*dtype, shape.clone(), data).unwrap())
    });
    let metadata = ladder.map(|text| HashMap::from([("ladder".to_owned(), text.to_owned())]));
    safetensors::serialize(views, metadata).unwrap()
}

fn fault(tensors: &[Tensor<'_>], ladder: &str) -> String {
    TokenFile::from_bytes(&file(tensors, Some(ladder))).unwrap_err().to_string()
}

#[test]
fn faults_name_the_tensor_and_both_numbers() {
    let zeros = [0; 80];
    let tokens: Tensor<'_> = ("tokens", Dtype::I32, vec![2, 5], &zeros[..40]);
    for (tensors, ladder, expected) in [
        (vec![], "1_2", "tensor `tokens` not found"),
        (vec![tokens.clone()], "1_2_3", "tokens: wants 14 a row for the ladder 1_2_3, file has 5"),
        (
            vec![("tokens", Dtype::I32, vec![10], &zeros[..40])],
            "1_2",
            "tokens: wants 2 dimensions, file has [10]",
        ),
        (
            vec![("tokens", Dtype::F32, vec![2, 5], &zeros[..40])],
            "1_2",
            "tokens: wants I32 or I64, file has F32",
        ),
        (
            vec![tokens.clone(), ("labels", Dtype::I32, vec![3], &zeros[..12])],
            "1_2",
            "labels: wants 2, one for each image, file has 3",
        ),
        (
            vec![tokens.clone(), ("labels", Dtype::I32, vec![2, 1], &zeros[..8])],
            "1_2",
            "labels: wants 1 dimensions, file has [2, 1]",
        ),
    ] {
        assert_eq!(fault(&tensors, ladder), expected);
    }
    for ladder in ["", "1__2", "0", "1_0", "01", "+1", "1_-2", "4294967296", "1 2"] {
        let expected = format!("ladder: wants sides from 1 joined by `_`, file has {ladder:?}");
        assert_eq!(fault(core::slice::from_ref(&tokens), ladder), expected);
    }
    let sides = "4294967295_4294967295";
    assert!(
        fault(core::slice::from_ref(&tokens), sides).starts_with("ladder: "),
        "a sum past 64 bits"
    );
    let bare = TokenFile::from_bytes(&file(&[tokens], None)).unwrap_err();
    assert_eq!(bare.to_string(), "metadata: no `ladder`");
}

#[test]
fn wide_integers_are_read_if_they_fit() {
    let bytes = |values: [i64; 5]| values.map(i64::to_le_bytes).concat();
    let fits = bytes([0, 1, 2, 3, i64::from(i32::MAX)]);
    let fits = file(&[("tokens", Dtype::I64, vec![1, 5], &fits)], Some("1_2"));
    assert_eq!(TokenFile::from_bytes(&fits).unwrap().tokens(), [0, 1, 2, 3, i32::MAX]);
    let wide = bytes([0, 1 << 31, 0, 0, 0]);
    assert_eq!(
        fault(&[("tokens", Dtype::I64, vec![1, 5], &wide)], "1_2"),
        "tokens[1]: wants -2147483648..2147483648, file has 2147483648"
    );
}

#[test]
fn ranges_are_checked() {
    let file = TokenFile::new(vec![1, 2], vec![0, 4095, 7, 7, 7], Some(vec![-1]));
    file.check(4096).unwrap();
    file.check_labels(0).unwrap();
    let fault = file.check(4095).unwrap_err().to_string();
    assert_eq!(fault, "tokens[1]: wants 0..4095, file has 4095");
    let negative = TokenFile::new(vec![1], vec![3, -1], Some(vec![10, 9]));
    let fault = negative.check(4).unwrap_err().to_string();
    assert_eq!(fault, "tokens[1]: wants 0..4, file has -1");
    let fault = negative.check_labels(10).unwrap_err().to_string();
    assert_eq!(fault, "labels[0]: wants -1..10, file has 10");
}

#[test]
fn saved_file_comes_back_and_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.safetensors");
    let file = TokenFile::new(vec![1, 2, 3], (0..28).collect(), None);
    file.save(&path, false).unwrap();
    assert_eq!(TokenFile::open(&path).unwrap(), file);
    let refused = file.save(&path, false).unwrap_err();
    assert!(matches!(refused.fault, TokenFault::Exists), "{refused}");
    file.save(&path, true).unwrap();
}

// K01, audit 4
#[test]
fn vqvae_and_checksum_are_kept() {
    let digest = |text: &[u8]| crate::checkpoint::Digest::of_bytes(text);
    let vqvae = Identity { digest: digest(b"f16"), source: digest(b"f32") };
    let file = TokenFile::new(vec![1], vec![3, 4], None);
    assert_eq!(TokenFile::from_bytes(&file.to_bytes()).unwrap().vqvae(), None);
    let made = file.made_by(vqvae);
    let bytes = made.to_bytes();
    assert_eq!(TokenFile::from_bytes(&bytes).unwrap(), made);
    assert_eq!(bytes, made.to_bytes(), "the same bytes each time");
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        assert!(TokenFile::from_bytes(&damaged).is_err(), "byte {at}");
    }
}

proptest! {
    #[test]
    fn bytes_come_back(
        ladder in prop::collection::vec(1_u32..6, 1..5),
        images in 0_usize..4,
        labeled: bool,
        seed: i32,
    ) {
        let length = ladder_length(&ladder).unwrap();
        let tokens = (0..(images * length) as i32).map(|i| i.wrapping_mul(seed)).collect();
        let labels = labeled.then(|| (0..images as i32).map(|i| i - 1).collect());
        let file = TokenFile::new(ladder, tokens, labels);
        prop_assert_eq!(TokenFile::from_bytes(&file.to_bytes()).unwrap(), file);
    }

    #[test]
    fn damaged_files_do_not_panic(at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
        let file = TokenFile::new(vec![1, 2], vec![3; 10], Some(vec![1, 2]));
        let mut bytes = file.to_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = TokenFile::from_bytes(&bytes);
        let cut = cut.index(bytes.len());
        prop_assert!(TokenFile::from_bytes(&bytes[..cut]).is_err());
    }
}
