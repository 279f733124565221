use std::time::Instant;
use var_host::optim::schedule::{Decay, Schedule};
use var_host::parallel::Single;
use var_host::pool::Threads;
use var_host::train::discriminator::DiscriminatorConfig;
use var_host::train::vae::pixels::Differences;
use var_host::train::vae::recipe::*;
use var_host::train::vae::*;
use var_kernel::cpu::{Cpu, Isa, SCRATCH_FLOATS};
use var_kernel::model::config::*;
use var_kernel::ops::nearest_code::Distance;

fn env<T: std::str::FromStr>(name: &str, default: T) -> T {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}
fn images(path: &str, most: usize) -> Vec<f32> {
    let b = std::fs::read(path).unwrap();
    let n = u32::from_be_bytes(b[4..8].try_into().unwrap()) as usize;
    let n = n.min(most);
    let mut out = vec![-1.0f32; n * 32 * 32 * 3];
    for i in 0..n {
        for y in 0..28 {
            for x in 0..28 {
                let v = b[16 + (i * 28 + y) * 28 + x] as f32 / 127.5 - 1.0;
                for c in 0..3 {
                    out[((i * 32 + y + 2) * 32 + x + 2) * 3 + c] = v;
                }
            }
        }
    }
    out
}
fn main() {
    let train = images("/tmp/vq/train.idx", 60000);
    let test = images("/tmp/vq/test.idx", env("TEST", 3000));
    let pic = 3072;
    let n = train.len() / pic;
    let bs: usize = env("BS", 64);
    let iters: u64 = env("ITERS", 300);
    let config = VqvaeConfig {
        codes: env("V", 512),
        latent: env("Z", 16),
        channels: env("CH", 32),
        multipliers: Levels::new(&[1, 2, 2, 2]).unwrap(),
        encoder_blocks: 1,
        decoder_blocks: 2,
        ladder: Ladder::new(&[1, 2, 3, 4]).unwrap(),
        refinement: Refinement::Partial(4),
        refinement_ratio: 0.5,
        distance: Distance::Euclidean,
    };
    let lr: f64 = env("LR", 3e-4);
    let ema: f32 = env("CB", 0.99);
    let recipe = Recipe {
        batch: bs as u32,
        parts: 1,
        schedule: Schedule {
            decay: Decay::Cosine,
            peak: lr,
            start: 0.005,
            end: env("END", 0.3),
            warmup: env("WARM", iters / 50 + 1),
            iterations: iters,
            weight_decay: 5e-3,
            weight_decay_end: 5e-3,
        },
        clip: 10.0,
        weights: Weights {
            absolute: env("L1", 0.2),
            squared: env("L2", 1.0),
            perceptual: 1.0,
            quantizer: env("VQ", 1.0),
            adversarial: env("GAN", 0.0),
            spread: env("SPREAD", 0.05),
        },
        codebook: if ema > 0.0 { CodebookRule::Average(ema) } else { CodebookRule::Gradient },
        revive: env("REVIVE", 0.03),
        gain: env("GAIN", 0.5),
        average: env("EMA", 0.999),
        critic_start: iters / 5,
        critic_warmup: iters / 50,
        seed: env("SEED", 0),
    };
    let critic = (recipe.weights.adversarial > 0.0)
        .then(|| Critic::new(DiscriminatorConfig::for_side(32, 32), trainer::CONSTANTS, 0));
    let mut t = Trainer::new(config, recipe, None, critic);
    let threads = Threads::new(env("T", 2), SCRATCH_FLOATS).unwrap();
    let cpu = Cpu::new(Isa::best(), &threads);
    println!("parameters {} memory {} MB", t.layout.parameters(), t.memory(&cpu, bs) >> 20);
    let mut order: Vec<usize> = (0..n).collect();
    let mut state = 12345u64;
    let begun = Instant::now();
    for it in 0..iters {
        let at = (it as usize * bs) % (n - n % bs);
        if at == 0 {
            for i in (1..n).rev() {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                let j = (state >> 33) as usize % (i + 1);
                order.swap(i, j);
            }
        }
        let mut batch = Vec::with_capacity(bs * pic);
        for i in &order[at..at + bs] {
            batch.extend_from_slice(&train[i * pic..(i + 1) * pic]);
        }
        let s = t.step(&cpu, &Single, it, &[batch]).unwrap();
        if it % env("LOG", 25) == 0 || it + 1 == iters {
            let u: Vec<String> =
                t.keeper.usage.shares().iter().map(|s| format!("{:.2}", s)).collect();
            println!(
                "{it} {:.1}s psnr {:.2} vq {:.4} gan {:.3} d {:.3} ratio {:.3} norm {:.3} use {} revived {}",
                begun.elapsed().as_secs_f64(),
                s.losses.pixels.psnr(),
                s.losses.quantizer,
                s.losses.adversarial,
                s.losses.discriminator,
                t.critic.as_ref().map_or(0.0, |c| f64::from(c.ratio[0])),
                s.norm,
                u.join(" "),
                t.keeper.revived
            );
        }
    }
    let mut sq = 0.0;
    let mut count = 0;
    let mut hits = vec![0u64; 4 * config.codes];
    for x in test.chunks(50 * pic) {
        let r = t.reconstruct(&cpu, x).unwrap();
        for (a, b) in hits.iter_mut().zip(&r.hits) {
            *a += *b as u64;
        }
        let r = r.pictures;
        sq += Differences::of(&r, x).squared;
        count += 1;
    }
    println!("test psnr {:.3}", 10.0 * (4.0 / (sq / count as f64)).log10());
    for (k, h) in hits.chunks(config.codes).enumerate() {
        let all: u64 = h.iter().sum();
        let used =
            h.iter().filter(|x| **x as f64 >= 0.08 * all as f64 / config.codes as f64).count();
        let ent: f64 = h
            .iter()
            .filter(|x| **x > 0)
            .map(|x| {
                let p = *x as f64 / all as f64;
                -p * p.ln()
            })
            .sum();
        println!(
            "scale {k} use {:.3} perplexity {:.0}",
            used as f64 / config.codes as f64,
            ent.exp()
        );
    }
    if let Ok(path) = std::env::var("SAVE") {
        let bytes: Vec<u8> = t.best_weights().iter().flat_map(|x| x.to_le_bytes()).collect();
        std::fs::write(path, bytes).unwrap();
    }
}
