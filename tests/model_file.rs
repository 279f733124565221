//! A model file bound by the kernel alone = the same file through var-host.

use core::mem::MaybeUninit;
use core::ops::ControlFlow;

use tempfile::TempDir;
use var_host::checkpoint::quantize::WeightDtype;
use var_host::engine::{Engine, ImageSpec, Sampling};
use var_host::model::convert::convert;
use var_host::model::{Hints, Weights};
use var_kernel::arena::Arena;
use var_kernel::cpu::{Cpu, Inline, Isa, SCRATCH_FLOATS};
use var_kernel::generate::{Request, generate};
use var_kernel::model::{Model, ModelFile, ModelFileError};
use var_kernel::storage::Storage;
use var_kernel::workspace::workspace_len;

const SMALL: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/fashion_reference.safetensors");

/// Tokens and image of one image, by the kernel alone with exactly the memory it asks for.
fn sample(bytes: &[u8]) -> Result<(Vec<u32>, Vec<u8>), ModelFileError> {
    let file = ModelFile::new(bytes)?;
    let mut scratch = vec![0.0; SCRATCH_FLOATS];
    let workers = Inline::new(&mut scratch);
    let cpu = Cpu::new(Isa::best(), &workers);
    let length = Model::<Cpu<'_>>::storage_len(&file.var, &file.vae);
    let mut layers = vec![MaybeUninit::uninit(); length];
    let mut storage = Storage::new(&mut layers);
    let mut widened = vec![0.0; file.widened_len(&mut storage)?];
    let request = Request::new(&[8], &[3], 7);
    let mut tokens = vec![0; file.var.ladder.length()];
    let floats = workspace_len(&cpu, file.var, file.vae, &request, &mut tokens, &mut storage);
    let model = file.bind(&mut widened, &mut storage)?;
    let mut memory = vec![f32::NAN; floats];
    let mut picture = vec![0; model.vqvae.images_len(1)];
    let mut preview = picture.clone();
    let arena = &mut Arena::new(&mut memory[..]);
    let Ok(_) = generate(&cpu, &model, &request, &mut tokens, &mut picture, arena, &mut |step| {
        let Ok(()) = step.picture(&mut preview, 0);
        ControlFlow::Continue(())
    });
    assert_eq!(preview, picture, "the image after the last scale is the image");
    Ok((tokens, picture))
}

#[test]
fn kernel_and_host_draw_the_same_bytes_from_files_of_every_precision() {
    let folder = TempDir::new().unwrap();
    let original = Weights::open(SMALL.as_ref(), &Hints::default()).unwrap();
    for precision in [WeightDtype::F32, WeightDtype::F16, WeightDtype::Bf16, WeightDtype::Q8] {
        let path = folder.path().join("model.safetensors");
        convert(&original, &path, precision, Vec::new(), true, &|_, _| ()).unwrap();
        let weights = Weights::open(&path, &Hints::default()).unwrap();
        let mut engine = Engine::new(&weights, 1, Isa::best()).unwrap();
        let settings = Sampling {
            seed: 7,
            cfg: 1.5,
            temperature: 1.0,
            top_k: 900,
            top_p: 0.96,
            more_smooth: false,
        };
        let host = engine.sample(&[ImageSpec { index: 3, label: 8 }], settings, None, &mut |_| {
            ControlFlow::Continue(())
        });
        let host = host.unwrap().unwrap().remove(0);
        let (tokens, picture) = sample(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(tokens, host.tokens, "{precision:?}");
        assert_eq!(picture, host.picture.rgb(), "{precision:?}");
    }
}

#[test]
fn model_files_cut_short_or_changed_are_refused() {
    let bytes = std::fs::read(SMALL).unwrap();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    for length in [0, 7, 8, 100, header - 1, header, bytes.len() - 1] {
        assert_eq!(ModelFile::new(&bytes[..length]).unwrap_err(), ModelFileError::Malformed);
    }
    let renamed = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let text = String::from_utf8_lossy(&bytes[..header]).replacen(from, to, 1);
        let mut changed = text.into_bytes();
        changed.splice(..8, bytes[..8].iter().copied());
        changed.extend(&bytes[header..]);
        sample(&changed).unwrap_err().to_string()
    };
    assert_eq!(renamed("var.head.bias", "var.head.bios"), "tensor var.head.bias is missing");
    assert_eq!(
        renamed("\\\"width\\\":128", "\\\"width\\\":256"),
        "tensor var.blocks.0.ada_lin.1.bias has another shape or format"
    );
    assert_eq!(
        renamed("\\\"heads\\\":2", "\\\"heads\\\":3"),
        "configuration: a width of 128 does not make 3 heads of at most 1024 each"
    );
}
