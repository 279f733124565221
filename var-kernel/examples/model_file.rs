//! Draws one image of a class with a model file and writes it as PPM:
//!
//! ```text
//! cargo run --release -p var-kernel --example model_file -- var-host/src/model/default.safetensors 22 7 fruit.ppm
//! ```
//!
//! The kernel allocates nothing: this program lends it all memory, and only it touches files.

use core::error::Error;
use core::mem::MaybeUninit;
use core::ops::ControlFlow;
use std::fs;

use var_kernel::{
    Arena, Cpu, Inline, Isa, Model, ModelFile, Request, SCRATCH_FLOATS, Storage, generate,
    workspace_len,
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, class, seed, out] = &arguments[..] else {
        return Err("usage: sample MODEL CLASS SEED OUT.ppm".into());
    };
    let labels = [class.parse()?];
    let request = Request::new(&labels, &[0], seed.parse()?);

    let bytes = fs::read(model)?;
    let file = ModelFile::new(&bytes)?;
    let (ladder, side) = (file.var.ladder, file.vae.side());

    let mut scratch = vec![0.0; SCRATCH_FLOATS];
    let workers = Inline::new(&mut scratch);
    let cpu = Cpu::new(Isa::best(), &workers);

    let mut layers =
        vec![MaybeUninit::uninit(); Model::<Cpu<'_>>::storage_len(&file.var, &file.vae)];
    let mut storage = Storage::new(&mut layers);
    let mut tokens = vec![0; ladder.length()];
    let floats = workspace_len(&cpu, file.var, file.vae, &request, &mut tokens, &mut storage);

    let mut widened = vec![0.0; file.widened_len(&mut storage)?];
    let model = file.bind(&mut widened, &mut storage)?;
    let mut memory = vec![0.0; floats];
    let mut image = vec![0_u8; side * side * 3];
    let arena = &mut Arena::new(&mut memory[..]);
    let Ok(_) = generate(&cpu, &model, &request, &mut tokens, &mut image, arena, &mut |step| {
        println!("scale {} of {}: {:?}", step.scale + 1, step.scales, step.tokens);
        ControlFlow::Continue(())
    });
    let mut ppm = format!("P6 {side} {side} 255\n").into_bytes();
    ppm.extend(image);
    fs::write(out, ppm)?;
    Ok(())
}
