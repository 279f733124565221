//! Zero-shot edits = golden files.

use core::ops::ControlFlow;

use var_kernel::arena::Arena;
use var_kernel::edit::{Painting, Region, mark, spread};
use var_kernel::generate::{ForcedTokens, Request, generate};
use var_kernel::sample::{Filter, UniformSource};

use crate::support::{Golden, GoldenModel, assert_close, scale_major, working_memory};

#[test]
fn three_edits_of_the_tiny_model() {
    let (golden, tiny) = (Golden::open("edit.safetensors"), Golden::open("tiny.safetensors"));
    let model = GoldenModel::of(&tiny);
    let ladder = model.var.ladder;
    let kept = scale_major(&tiny.integers("vae.tokens"), 1, &ladder);
    for (number, about) in golden.about.as_object().expect("three edits") {
        let edge = |i: usize| about["box"][i].as_f64().expect("an edge") as f32;
        let region = Region { top: edge(0), left: edge(1), bottom: edge(2), right: edge(3) };
        let inside = about["inpainting"].as_bool().expect("a flag");
        let painting = if inside { Painting::In } else { Painting::Out };
        let mut cells = vec![f32::NAN; ladder.finest() * ladder.finest()];
        mark(&mut cells, &ladder, region, painting);
        assert_eq!(cells, golden.floats(&format!("mask.{number}")).1, "mask {number}");
        let mut keep = vec![false; ladder.length()];
        spread(&mut keep, &cells, &ladder);

        let labels = [3, 1];
        let request = Request {
            labels: &labels,
            indices: &[0, 1],
            cfg: about["cfg"].as_f64().expect("cfg") as f32,
            temperature: 1.0,
            filter: Filter { top_k: 0, top_p: 0.0 },
            more_smooth: false,
            source: UniformSource::Greedy,
            keep: Some(ForcedTokens { tokens: &kept, cells: &keep }),
        };
        let want = golden.channels_last(&format!("image.{number}"));
        model.with(|cpu, model| {
            let mut memory = working_memory(64);
            let mut tokens = vec![u32::MAX; kept.len()];
            let mut pictures = vec![f32::NAN; want.len()];
            let mut arena = Arena::new(&mut memory[..]);
            let Ok(_) =
                generate(cpu, model, &request, &mut tokens, &mut pictures, &mut arena, &mut |_| {
                    ControlFlow::Continue(())
                });
            let shown: Vec<f32> =
                pictures.iter().map(|x| (x.clamp(-1.0, 1.0) + 1.0) * 0.5).collect();
            assert_close(&format!("edit {number}"), &shown, &want, 1e-3);
        });
    }
}
