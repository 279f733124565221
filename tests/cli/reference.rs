//! Real images through a model that the reference code trained = its own tokens.

use safetensors::SafeTensors;
use var_host::images::{RgbImage, write_png};

use super::{Place, fixture};

#[test]
fn first_hundred_test_pictures_have_the_reference_s_tokens() {
    let place = Place::new();
    let file = std::fs::read(fixture("fashion_test_100.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&file).unwrap();
    let mut names = Vec::new();
    for (number, gray) in file.tensor("images").unwrap().data().chunks_exact(28 * 28).enumerate() {
        // Two black pixels on every side, gray in all three channels.
        let mut rgb = vec![0; 32 * 32 * 3];
        for (i, gray) in gray.iter().enumerate() {
            let at = 3 * ((i / 28 + 2) * 32 + i % 28 + 2);
            rgb[at..at + 3].fill(*gray);
        }
        let name = format!("{number:03}.png");
        let picture = RgbImage::new(32, 32, rgb);
        write_png(&place.path(&name), &picture, &Default::default(), false).unwrap();
        names.push(name);
    }
    let names = names.iter().map(String::as_str);
    let model = fixture("fashion_reference.safetensors");
    let options = ["--model", &model, "-o", "tokens.safetensors", "-q"];
    let arguments: Vec<&str> = ["encode"].into_iter().chain(names).chain(options).collect();
    place.var(&arguments);

    let expected = std::fs::read(fixture("fashion_reference.expected.safetensors")).unwrap();
    let expected = SafeTensors::deserialize(&expected).unwrap();
    let expected = expected.tensor("test.tokens_first_100").unwrap();
    let expected =
        expected.data().chunks_exact(4).map(|b| i32::from_le_bytes(b.try_into().unwrap()));
    let tokens = place.tokens("tokens.safetensors");
    assert_eq!(tokens.tokens().len(), 3000);
    let others = tokens.tokens().iter().zip(expected).filter(|(a, b)| **a != *b).count();
    assert_eq!(others, 0, "tokens differ of 3000");
}
