//! Which tensors of a file are the model's: wrappers, averages, optimizers, losses, relatives.

use super::*;

type Tensors = HashMap<String, Tensor>;

/// The model of [`configs`] under other names; those of its transformer and of its VQVAE begin with
/// `var.` and `vae.`.
fn renamed(rename: impl Fn(&str) -> String) -> Tensors {
    let (var, vae) = configs();
    tensors(var, vae).into_iter().map(|(name, tensor)| (rename(&name), tensor)).collect()
}

fn part(name: &str) -> Hints {
    Hints { part: Some(name.to_owned()), ..Hints::default() }
}

fn vector(value: f32) -> Tensor {
    (safetensors::Dtype::F32, vec![1], value.to_le_bytes().to_vec())
}

/// C01b: wrappers' parts of names are taken out wherever they stand.
#[test]
fn wrapped_models_are_the_plain_one() {
    let (var, vae) = configs();
    for (before, after) in [
        ("var.", "module.var."),
        ("var.", "var.module._orig_mod."),
        ("var.", "_orig_mod.module.var."),
        (".blocks.0.", ".blocks.0._orig_mod."),
        (".blocks.1.", ".blocks.1._checkpoint_wrapped_module."),
        (".blocks.", "._fsdp_wrapped_module.blocks."),
        (".quantize.embedding.", ".quantize._orig_mod.embedding.module."),
        ("vae.", "state_dict._forward_module.vae."),
        ("var.", "train."),
        ("var.", "optimal_model."),
        ("vae.", "adopted."),
    ] {
        let renamed = renamed(|name| name.replace(before, after));
        let weights = open(&renamed, Hints::default()).unwrap_or_else(|e| panic!("{after}: {e}"));
        assert_eq!(weights.transformer.unwrap().1, var, "{after}");
        assert_eq!(weights.vqvae.unwrap().1, vae, "{after}");
    }
}

/// C01c: of a file with an average the part is chosen.
#[test]
fn average_beside_a_model_is_chosen_by_name() {
    let head =
        |value: f32| [f16::from_f32(value); 7].iter().flat_map(|x| x.to_le_bytes()).collect();
    let mut both = Tensors::new();
    for (prefix, value) in [("model", 1.0), ("ema", 2.0), ("optimizer.m", 3.0)] {
        for (name, mut tensor) in renamed(str::to_owned) {
            if name == "var.head.bias" {
                tensor.2 = head(value);
            }
            both.insert(format!("{prefix}.{name}"), tensor);
        }
    }
    for (chosen, wants) in [("ema", 2.0), ("model", 1.0), ("ema.var", 2.0), ("optimizer", 3.0)] {
        // `ema.var` says nothing of the VQVAE, of which there are two.
        let Ok(weights) = open(&both, part(chosen)) else {
            assert_eq!(chosen, "ema.var");
            continue;
        };
        let (transformer, _) = weights.transformer.unwrap();
        let bias = transformer.tensor("head.bias").unwrap();
        assert_eq!(bias.to_f32(), [wants; 7], "{chosen}");
    }
    assert_eq!(
        message(open(&both, Hints::default())),
        "file: more than one transformer in it: choose by --part \"ema.var\", --part \"model.var\""
    );
    assert_eq!(
        message(open(&renamed(str::to_owned), part("emma"))),
        "--part emma: file has \"var\", \"vae\""
    );
}

#[test]
fn root_beside_a_named_part_is_chosen_by_the_empty_name() {
    let plain = renamed(|name| name.replace("var.", ""));
    let mut both: Tensors = renamed(|name| name.replace("var.", "ema.").replace("vae.", "x."));
    both.retain(|name, _| name.starts_with("ema."));
    both.extend(plain);
    for chosen in ["", "ema"] {
        assert!(open(&both, part(chosen)).is_ok(), "{chosen:?}");
    }
    assert!(message(open(&both, Hints::default())).contains("--part \"\", --part \"ema\""));
}

#[test]
fn optimizer_state_beside_a_model_is_passed_over() {
    let mut tensors = renamed(|name| name.strip_prefix("var.").unwrap_or(name).to_owned());
    for name in ["optimizer.state.0.exp_avg", "var_opt.optimizer.state.0.step", "exp_avg.pos_1LC"] {
        tensors.insert(name.to_owned(), vector(1.0));
    }
    assert!(open(&tensors, Hints::default()).is_ok());
    tensors.insert("optimal".to_owned(), vector(1.0));
    let refusal = message(open(&tensors, Hints::default()));
    assert_eq!(refusal, "file: optimal of shape [1] is not part of the model");
}

/// C01e: losses beside a VQVAE are named and passed over.
#[test]
fn losses_beside_a_vqvae_are_passed_over_and_named() {
    let mut tensors = renamed(str::to_owned);
    tensors.insert("vae.loss.logvar".to_owned(), vector(0.0));
    tensors.insert("vae.loss.discriminator.main.0.weight".to_owned(), vector(0.0));
    tensors.insert("vae.module.lpips.lin0.model.1.weight".to_owned(), vector(0.0));
    let weights = open(&tensors, Hints::default()).unwrap();
    assert_eq!(
        weights.notes,
        ["file: passed over: 2 tensors of loss", "file: passed over: 1 tensor of lpips"]
    );
    tensors.insert("var.loss.logvar".to_owned(), vector(0.0));
    let refusal = message(open(&tensors, Hints::default()));
    assert_eq!(refusal, "file: var.loss.logvar of shape [1] is not part of the model");
}

#[test]
fn doubled_tensors_are_refused_by_both_names() {
    let mut tensors = renamed(str::to_owned);
    tensors.insert("var.module.head.bias".to_owned(), vector(0.0));
    assert_eq!(
        message(open(&tensors, Hints::default())),
        "file: var.head.bias and var.module.head.bias are one tensor of the model"
    );
}

/// Deliver 3: other models of the family are called by their names.
#[test]
fn relatives_of_var_are_refused_by_name() {
    for (sign, model) in [
        ("var.car_blocks.0.attn.proj.weight", "CAR"),
        ("var.cond_embed.weight", "ControlVAR"),
        ("var.cond_proj.weight", "VAR-CLIP"),
        ("var.text_pooler.weight", "Switti"),
        ("var.diffloss.net.input_proj.weight", "HART"),
    ] {
        let mut tensors = renamed(str::to_owned);
        tensors.insert(sign.to_owned(), vector(0.0));
        let refusal = message(open(&tensors, Hints::default()));
        let wants = format!("file: {sign} is a tensor of {model}, not of VAR: ");
        assert!(refusal.starts_with(&wants), "{refusal}");
    }
    let infinity = Tensors::from([
        ("cfg_uncond".to_owned(), vector(0.0)),
        ("block_chunks.0.module.0.ca.mat_kv.weight".to_owned(), vector(0.0)),
    ]);
    let refusal = message(open(&infinity, Hints::default()));
    assert!(refusal.starts_with("file: cfg_uncond is a tensor of Infinity"), "{refusal}");
    let mut flexible = renamed(str::to_owned);
    flexible.insert(
        "var.pos_1LC".to_owned(),
        (safetensors::Dtype::F16, vec![1, 12, 2, 2], vec![0; 96]),
    );
    let refusal = message(open(&flexible, Hints::default()));
    assert!(refusal.starts_with("file: var.pos_1LC is a tensor of FlexVAR"), "{refusal}");
    let published = renamed(|name| name.replace("var.", "trainer.mvar_wo_ddp."));
    let refusal = message(open(&published, Hints::default()));
    assert!(
        refusal.contains("is a tensor of MVAR, not of VAR: each scale attends only"),
        "{refusal}"
    );
}
