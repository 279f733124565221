//! Trains a tiny model on generated images in seconds, then samples from it:
//! `cargo run --release -p var-host --example train_tiny`.

use core::error::Error;
use std::fs;

use var_host::images::{Parameters, write_png};
use var_host::{Model, RgbImage, SampleOptions, TrainConfig, TrainRun, VarSize};

fn main() -> Result<(), Box<dyn Error>> {
    let place = std::env::temp_dir().join("var-train-tiny");
    for number in 0..32 {
        let class = ["stripes", "checks"][number % 2];
        let folder = place.join("data/train").join(class);
        fs::create_dir_all(&folder)?;
        let bright = |i: usize| {
            let (x, y) = (i % 32 / 4, i / 32 / 4 * (number % 2));
            [40 + 180 * ((x + y + number / 2) % 2) as u8; 3]
        };
        let image = RgbImage::new(32, 32, (0..32 * 32).flat_map(bright).collect());
        let path = folder.join(format!("{number}.png"));
        write_png(&path, &image, &Parameters::new(), true)?;
    }

    let mut run = TrainRun::new(Model::built_in()?, place.join("data"), place.join("run"))?;
    run.size = VarSize { depth: 1, ..Default::default() };
    run.config = TrainConfig { batch: 16, epochs: 60, base_rate: 0.03, ..Default::default() };
    let ended = run.train()?;
    println!("{}: {} iterations", ended.checkpoint.display(), ended.progress.iterations);

    let mut model = Model::open(&ended.checkpoint)?;
    for image in model.sample(&[0, 1], &SampleOptions::default())? {
        let path = place.join(format!("{}.png", model.class_names()[image.label as usize]));
        image.save_png(&path)?;
        println!("{}", path.display());
    }
    Ok(())
}
