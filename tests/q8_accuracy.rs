//! q8 against the same weights in `f32`, under teacher forcing: the weights' rounding alone, and the
//! activations' with it.

use core::convert::Infallible;
use core::fmt;
use core::mem::MaybeUninit;
use core::ops::ControlFlow;
use std::collections::HashMap;

use tempfile::TempDir;
use var_host::checkpoint::quantize::{Q8, WeightDtype, from_q8, to_q8};
use var_host::engine::{Engine, ImageSpec, Sampling};
use var_host::model::convert::{convert, of_tensor};
use var_host::model::weights::transformer_tensors;
use var_host::model::{Hints, Weights};
use var_kernel::arena::Arena;
use var_kernel::cpu::{Cpu, Isa, Matrix};
use var_kernel::model::weights::Source;
use var_kernel::model::{Model, ModelFile};
use var_kernel::ops::CrossEntropy;
use var_kernel::sample::{Filter, categorical, filter, guidance, softmax};
use var_kernel::score;
use var_kernel::storage::Storage;

use crate::support::{Golden, GoldenModel, u01, with_cpu, working_memory};

const SMALL: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/fashion_reference.safetensors");

/// How a model predicts some images' tokens, one after the other.
#[derive(Default)]
struct Predictions {
    /// Negative log-likelihood of each token, in nats.
    nll: Vec<f32>,
    /// The likeliest code of each cell.
    likeliest: Vec<usize>,
    /// The code drawn for each cell, with cfg 1.5, top-k 900 and top-p 0.96.
    drawn: Vec<usize>,
}

impl Predictions {
    /// Adds an image's.
    fn add<'w>(
        &mut self,
        cpu: &Cpu<'w>,
        model: &Model<'_, '_, Cpu<'w>>,
        tokens: &[u32],
        label: u32,
        memory: &mut [f32],
    ) {
        let config = &model.transformer.config;
        let (codes, ladder) = (config.codes, config.ladder);
        let mut logits = |label| {
            let mut logits = vec![f32::NAN; tokens.len() * codes];
            let mut arena = Arena::new(&mut *memory);
            let Ok(()) = score::teacher_forced(cpu, model, &mut logits, tokens, label, &mut arena);
            logits
        };
        let (mut with, without) = (logits(label), logits(config.null_class()));
        let mut nll = vec![f32::NAN; tokens.len()];
        let Ok(()) = cpu.cross_entropy(&mut nll, &with, tokens, 0.0);
        self.nll.extend(nll);
        let settings = Filter { top_k: 900.min(codes), top_p: 0.96 };
        for scale in 0..ladder.scales() {
            let range = ladder.range(scale);
            let numbers = u01(&format!("q8.{}.{scale}", self.drawn.len()), range.len());
            let strength = guidance::strength(1.5, scale, ladder.scales());
            for (u, cell) in numbers.into_iter().zip(range) {
                let row = &mut with[cell * codes..][..codes];
                let likeliest = (0..codes).max_by(|a, b| row[*a].total_cmp(&row[*b]));
                self.likeliest.extend(likeliest);
                guidance::guide(row, &without[cell * codes..][..codes], strength);
                filter(Isa::best(), row, settings, &mut vec![0.0; codes]);
                softmax::softmax(Isa::best(), row);
                self.drawn.push(categorical::draw(row, u));
            }
        }
    }

    /// Mean cross-entropy, in nats.
    fn mean(&self) -> f64 {
        self.nll.iter().map(|x| f64::from(*x)).sum::<f64>() / self.nll.len() as f64
    }

    /// Prints these beside `exact` ones and returns the difference of the means and the shares of cells with
    /// the same likeliest and drawn codes.
    fn compare(&self, name: &str, exact: &Self) -> [f64; 3] {
        let share = |a: &[usize], b: &[usize]| {
            a.iter().zip(b).filter(|(a, b)| a == b).count() as f64 / a.len() as f64
        };
        let apart = self.nll.iter().zip(&exact.nll).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let results = [
            self.mean() - exact.mean(),
            share(&self.likeliest, &exact.likeliest),
            share(&self.drawn, &exact.drawn),
        ];
        eprintln!(
            "{name}: cross-entropy {:.5} ({:+.5}; a token's by {apart:.4} at most), likeliest code \
             {:.2} %, drawn code {:.2} % of {} as with f32",
            self.mean(),
            results[0],
            100.0 * results[1],
            100.0 * results[2],
            self.nll.len(),
        );
        results
    }
}

/// A small model, on a hundred images it draws.
#[test]
fn q8_of_a_small_model() {
    let folder = TempDir::new().unwrap();
    let original = Weights::open(SMALL.as_ref(), &Hints::default()).unwrap();
    let file = |name: &str, weights: &Weights, precision| {
        let path = folder.path().join(name);
        convert(weights, &path, precision, Vec::new(), true, &|_, _| ()).unwrap();
        path
    };
    let f32s = file("f32", &original, WeightDtype::F32);
    let q8 = file("q8", &original, WeightDtype::Q8);
    let widened =
        file("widened", &Weights::open(&q8, &Hints::default()).unwrap(), WeightDtype::F32);

    let settings = Sampling {
        seed: 1,
        cfg: 1.5,
        temperature: 1.0,
        top_k: 900,
        top_p: 0.96,
        more_smooth: false,
    };
    let images: Vec<_> = (0..100).map(|i| ImageSpec { index: i, label: i % 10 }).collect();
    let mut engine = Engine::new(&original, 2, Isa::best()).unwrap();
    let drawn = engine.sample(&images, settings, None, &mut |_| ControlFlow::Continue(()));
    let drawn = drawn.unwrap().unwrap();
    let [f32s, widened, q8] = [f32s, widened, q8].map(|path| {
        let bytes = std::fs::read(path).unwrap();
        let file = ModelFile::new(&bytes).unwrap();
        let length = Model::<Cpu<'_>>::storage_len(&file.var, &file.vae);
        let mut predictions = Predictions::default();
        let mut memory = working_memory(16);
        with_cpu(2, Isa::best(), |cpu| {
            let mut layers = vec![MaybeUninit::uninit(); length];
            let mut storage = Storage::new(&mut layers);
            let mut floats = vec![0.0; file.widened_len(&mut storage).unwrap()];
            let model = file.bind(&mut floats, &mut storage).unwrap();
            for (image, spec) in drawn.iter().zip(&images) {
                predictions.add(cpu, &model, &image.tokens, spec.label, &mut memory);
            }
        });
        predictions
    });
    eprintln!("small model, f32: cross-entropy {:.5}", f32s.mean());
    widened.compare("small model, q8 weights in f32", &f32s);
    check(q8.compare("small model, q8", &f32s));
}

/// VAR-d16 by formula.
#[test]
#[ignore = "4 GB of memory: `cargo test --test integration -- --ignored q8`"]
fn q8_of_var_d16() {
    let golden = Golden::open("d16_full_size.safetensors");
    let model = GoldenModel::of(&golden);
    let tokens = golden.integers("sampled.tokens");
    let label = golden.about["sampled"]["labels"][0].as_u64().expect("a label") as u32;
    let run = |q8s: &HashMap<String, Q8>, widened: &HashMap<String, Vec<f32>>| {
        let none = (&HashMap::new(), &HashMap::new());
        let mut var = Replaced { weight: &|name| model.var_weight(name), q8s, widened };
        let mut vae =
            Replaced { weight: &|name| model.vae_weight(name), q8s: none.0, widened: none.1 };
        let mut predictions = Predictions::default();
        let mut memory = working_memory(1024);
        with_cpu(2, Isa::best(), |cpu| {
            let parts = ((&mut var, model.var), (&mut vae, model.vae));
            let Ok(model) = Model::bind_parts(parts.0, parts.1, &mut Storage::heap());
            predictions.add(cpu, &model, &tokens, label, &mut memory);
        });
        predictions
    };
    let mut q8s = HashMap::new();
    for wanted in transformer_tensors(model.var) {
        let whole_blocks = wanted.shape.last().is_some_and(|columns| columns % 32 == 0);
        if of_tensor(&wanted, WeightDtype::Q8) == WeightDtype::Q8 && whole_blocks {
            let q8 = to_q8(&wanted.name, model.var_weight(&wanted.name)).unwrap();
            q8s.insert(wanted.name, q8);
        }
    }
    let wide = |(name, q8): (&String, &Q8)| (name.clone(), from_q8(&q8.integers, &q8.scales));
    let f32s = run(&HashMap::new(), &HashMap::new());
    let widened: HashMap<_, _> = q8s.iter().map(wide).collect();
    let widened = run(&HashMap::new(), &widened);
    let q8 = run(&q8s, &HashMap::new());
    eprintln!("d16, f32: cross-entropy {:.5}", f32s.mean());
    widened.compare("d16, q8 weights in f32", &f32s);
    check(q8.compare("d16, q8", &f32s));
}

/// The tests' limits. How many drawn codes agree is told alone: where the distribution is flat, as with made-up
/// weights, rounding the weights changes a quarter of them.
#[track_caller]
fn check([nats, likeliest, _]: [f64; 3]) {
    assert!(nats.abs() < 0.01, "cross-entropy differs by {nats} nats");
    assert!(likeliest > 0.95, "{likeliest} of the likeliest codes agree");
}

/// A part's weights, some of them replaced.
struct Replaced<'a> {
    weight: &'a dyn Fn(&str) -> &'a [f32],
    q8s: &'a HashMap<String, Q8>,
    widened: &'a HashMap<String, Vec<f32>>,
}

impl<'a> Source<'a, Cpu<'_>> for Replaced<'a> {
    type Error = Infallible;

    fn matrix(&mut self, name: fmt::Arguments<'_>, _: &[usize]) -> Result<Matrix<'a>, Infallible> {
        let name = name.to_string();
        Ok(match (self.q8s.get(&name), self.widened.get(&name)) {
            (Some(q8), _) => Matrix::Q8 { values: &q8.integers, scales: &q8.scales },
            (_, Some(values)) => Matrix::F32(values),
            _ => Matrix::F32((self.weight)(&name)),
        })
    }

    fn vector(&mut self, name: fmt::Arguments<'_>, _: &[usize]) -> Result<&'a [f32], Infallible> {
        Ok((self.weight)(&name.to_string()))
    }
}
