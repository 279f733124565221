//! Which weights decay.

/// Parts of a name that keep a tensor from decaying.
const KEPT: [&str; 14] = [
    "cls_token",
    "start_token",
    "task_token",
    "cfg_uncond",
    "pos_embed",
    "pos_1LC",
    "pos_start",
    "start_pos",
    "lvl_embed",
    "gamma",
    "beta",
    "ada_gss",
    "moe_bias",
    "scale_mul",
];

/// Whether the tensor `name` of `dimensions` dimensions decays: matrices and convolutions do, but for
/// biases and the embeddings of places.
pub fn decays(name: &str, dimensions: usize) -> bool {
    dimensions >= 2 && !name.ends_with("bias") && !KEPT.iter().any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use super::decays;

    #[test]
    fn matrices_and_the_class_embedding_decay() {
        for name in ["blocks.0.attn.mat_qkv.weight", "class_emb.weight", "head.weight"] {
            assert!(decays(name, 2), "{name}");
        }
        for (name, dimensions) in [
            ("lvl_embed.weight", 2),
            ("pos_1LC", 3),
            ("blocks.3.ada_gss", 4),
            ("blocks.0.attn.scale_mul_1H11", 4),
            ("blocks.0.attn.q_bias", 1),
            ("encoder.norm_out.weight", 1),
        ] {
            assert!(!decays(name, dimensions), "{name}");
        }
    }
}
