//! Writes the image of a class as it looks after every scale, and stops early if asked to: the callback of
//! [`generate`].
//!
//! ```text
//! cargo run --release -p var-kernel --features alloc --example every_scale -- var-host/src/model/default.safetensors 22 3 fruit
//! ```
//!
//! writes `fruit-1.ppm`, `fruit-2.ppm` and `fruit-3.ppm`, and draws no fourth scale.

use core::error::Error;
use core::ops::ControlFlow;
use std::{fs, io};

use var_kernel::{
    Arena, Cpu, Inline, Isa, ModelFile, Request, SCRATCH_FLOATS, Storage, generate, workspace_len,
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, class, last, out] = &arguments[..] else {
        return Err("usage: every_scale MODEL CLASS SCALES OUT".into());
    };
    let (labels, last) = ([class.parse()?], last.parse::<usize>()?);
    let request = Request::new(&labels, &[0], 1);
    let mut scratch = vec![0.0; SCRATCH_FLOATS];
    let workers = Inline::new(&mut scratch);
    let cpu = Cpu::new(Isa::best(), &workers);

    let bytes = fs::read(model)?;
    let file = ModelFile::new(&bytes)?;
    let heap = &mut Storage::heap();
    let mut widened = vec![0.0; file.widened_len(heap)?];
    let model = file.bind(&mut widened, heap)?;
    let mut tokens = vec![0; file.var.ladder.length()];
    let floats = workspace_len(&cpu, file.var, file.vae, &request, &mut tokens, heap);

    let side = file.vae.side();
    let mut image = vec![0_u8; side * side * 3];
    let (mut memory, mut written) = (vec![0.0; floats], io::Result::Ok(()));
    let arena = &mut Arena::new(&mut memory[..]);
    // No image at the end: each is asked for on the way.
    let Ok(outcome) =
        generate(&cpu, &model, &request, &mut tokens, &mut [0_u8; 0], arena, &mut |step| {
            let number = step.scale + 1;
            let Ok(()) = step.picture(&mut image, 0);
            let mut ppm = format!("P6 {side} {side} 255\n").into_bytes();
            ppm.extend(&image);
            written = fs::write(format!("{out}-{number}.ppm"), ppm);
            if written.is_err() || number == last {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
    println!("{outcome:?}");
    Ok(written?)
}
