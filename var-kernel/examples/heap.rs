//! Draws one image of a class with a model file and writes it as PPM, with the feature `alloc`: the
//! layers are on the heap, and only the working memory is still asked for and lent.
//!
//! ```text
//! cargo run --release -p var-kernel --features alloc --example heap -- var-host/src/model/default.safetensors 22 7 fruit.ppm
//! ```

use core::error::Error;
use core::ops::ControlFlow;
use std::fs;

use var_kernel::{
    Arena, Cpu, Inline, Isa, ModelFile, Request, SCRATCH_FLOATS, Storage, generate, workspace_len,
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, class, seed, out] = &arguments[..] else {
        return Err("usage: heap MODEL CLASS SEED OUT.ppm".into());
    };
    let labels = [class.parse()?];
    let request = Request::new(&labels, &[0], seed.parse()?);
    let mut scratch = vec![0.0; SCRATCH_FLOATS];
    let workers = Inline::new(&mut scratch);
    let cpu = Cpu::new(Isa::best(), &workers);

    let bytes = fs::read(model)?;
    let file = ModelFile::new(&bytes)?;
    let heap = &mut Storage::heap();
    let mut widened = vec![0.0; file.widened_len(heap)?];
    let model = file.bind(&mut widened, heap)?;

    let side = file.vae.side();
    let (mut tokens, mut image) = (vec![0; file.var.ladder.length()], vec![0_u8; side * side * 3]);
    let floats = workspace_len(&cpu, file.var, file.vae, &request, &mut tokens, heap);
    let mut memory = vec![0.0; floats];
    let arena = &mut Arena::new(&mut memory[..]);
    let Ok(_) = generate(&cpu, &model, &request, &mut tokens, &mut image, arena, &mut |_| {
        ControlFlow::Continue(())
    });

    let mut ppm = format!("P6 {side} {side} 255\n").into_bytes();
    ppm.extend(image);
    fs::write(out, ppm)?;
    Ok(())
}
