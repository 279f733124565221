//! Deliver 3: the attention mask in a file is VAR's, or the file is refused.

use half::bf16;

use super::*;

/// The model of [`configs`], ladder 1_3, with a mask that `value` makes of the scales of a token that
/// looks and of one that is looked at.
fn masked(
    value: impl Fn(usize, usize) -> f32,
    dtype: safetensors::Dtype,
    shape: &[usize],
) -> Result<Weights, ModelError> {
    let (var, vae) = configs();
    let scale = |token: usize| usize::from(token > 0);
    let mut bytes = Vec::new();
    for index in 0..100 {
        let value = value(scale(index / 10), scale(index % 10));
        match dtype {
            safetensors::Dtype::F64 => bytes.extend(f64::from(value).to_le_bytes()),
            safetensors::Dtype::F32 => bytes.extend(value.to_le_bytes()),
            safetensors::Dtype::F16 => bytes.extend(f16::from_f32(value).to_le_bytes()),
            safetensors::Dtype::BF16 => bytes.extend(bf16::from_f32(value).to_le_bytes()),
            _ => bytes.push(u8::from(value != 0.0)),
        }
    }
    let mut tensors = tensors(var, vae);
    tensors.insert("var.attn_bias_for_masking".to_owned(), (dtype, shape.to_vec(), bytes));
    open(&tensors, Hints::default())
}

const SHAPE: [usize; 4] = [1, 1, 10, 10];

#[test]
fn block_causal_masks_are_vars_in_any_type() {
    use safetensors::Dtype::{BF16, BOOL, F16, F32, F64, U8};
    for dtype in [F64, F32, F16, BF16, BOOL, U8] {
        for hidden in [f32::NEG_INFINITY, f32::MIN, -1e9, -1e4] {
            let mask = |row, column| if column <= row { 0.0 } else { hidden };
            assert!(masked(mask, dtype, &SHAPE).is_ok(), "{dtype:?}, {hidden}");
            assert!(masked(mask, dtype, &[10, 10]).is_ok(), "{dtype:?}, {hidden}");
        }
    }
    // Truth values that say "seen" by 1.
    let seen = |row, column| if column <= row { 1.0 } else { 0.0 };
    assert!(masked(seen, BOOL, &SHAPE).is_ok());
}

#[test]
fn other_masks_are_refused_with_the_place_they_differ_at() {
    use safetensors::Dtype::{BF16, BOOL, F16, F32};
    let file = "file: var.attn_bias_for_masking";
    let own_scale = |row: usize, column| if column == row { 0.0 } else { f32::NEG_INFINITY };
    for dtype in [F32, F16, BF16, BOOL] {
        assert_eq!(
            message(masked(own_scale, dtype, &SHAPE)),
            format!(
                "{file}: not VAR's attention: token 1 of scale 1 does not see token 0 of scale 0: \
                 each scale sees only itself, as in MVAR, M-VAR and Switti"
            )
        );
    }
    assert_eq!(
        message(masked(|_, _| 0.0, F32, &SHAPE)),
        format!(
            "{file}: not VAR's attention: token 0 of scale 0 sees token 1 of scale 1: every token \
             sees all"
        )
    );
    let bias = |row, column| if column <= row { 0.0 } else { -3.5 };
    assert_eq!(
        message(masked(bias, F32, &SHAPE)),
        format!(
            "{file}: not VAR's attention: token 0 of scale 0 has a bias of -3.5 for token 1 of scale 1"
        )
    );
    assert!(
        message(masked(|_, _| f32::NAN, F32, &SHAPE)).contains("has a bias of NaN for token 0")
    );
    assert_eq!(
        message(masked(own_scale, F32, &[1, 2, 5, 10])),
        format!("{file}: wants [1, 1, 10, 10], file has [1, 2, 5, 10]")
    );
}
