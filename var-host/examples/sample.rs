//! Ten lines from a class to an image: `cargo run --release -p var-host --example sample`.

use var_host::{Model, SampleOptions};

fn main() -> Result<(), var_host::Error> {
    let mut model = Model::built_in()?;
    let options = SampleOptions { cfg: 4.0, seed: 1, ..Default::default() };
    for image in model.sample(&[8, 9], &options)? {
        image.save_png(format!("{}.png", model.class_names()[image.label as usize]))?;
    }
    Ok(())
}
