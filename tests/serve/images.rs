//! Images that are sent: reconstructed, encoded, edited, scored; refused before they are decoded.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use var_host::images::{Exif, Parameters, png_bytes};
use var_host::{Edit, Painting, Region, RgbImage, SampleOptions};

use crate::client::{Event, Served, small_model};

/// A gray-scale gradient.
fn picture(width: usize, height: usize) -> RgbImage {
    let pixel = |at: usize| [(at % 251) as u8; 3];
    RgbImage::new(width, height, (0..width * height).flat_map(pixel).collect())
}

fn base64(picture: &RgbImage) -> String {
    BASE64_STANDARD.encode(png_bytes(picture, &Parameters::new()).unwrap())
}

fn named<'e>(events: &'e [Event], name: &str) -> &'e Value {
    let found = events.iter().find(|event| event.name == name);
    &found.unwrap_or_else(|| panic!("no {name}: {events:?}")).data
}

fn image_of(served: &Served, events: &[Event]) -> RgbImage {
    let url = named(events, "image")["url"].as_str().unwrap();
    RgbImage::from_bytes(&served.get(url).body, Exif::Ignored).unwrap()
}

#[test]
fn reconstruction_encoding_and_decoding_are_the_librarys() {
    let served = Served::new();
    let (picture, mut model) = (picture(50, 40), small_model());
    let events = served.events("reconstruct", &json!({ "image": base64(&picture) }));
    assert_eq!(image_of(&served, &events), model.reconstruct(&picture).unwrap());
    assert_eq!(events.iter().filter(|event| event.name == "scale").count(), 4);
    let events = served.events("encode", &json!({ "image": base64(&picture) }));
    let maps = named(&events, "tokens")["maps"].clone();
    let tokens = model.encode(&picture).unwrap();
    let lengths: Vec<usize> =
        maps.as_array().unwrap().iter().map(|map| map.as_array().unwrap().len()).collect();
    assert_eq!(lengths, [1, 4, 9, 16]);
    let flat: Vec<Value> =
        maps.as_array().unwrap().iter().flat_map(|map| map.as_array().unwrap().clone()).collect();
    assert_eq!(json!(flat), json!(tokens));
    for tokens in [json!(flat), maps] {
        let events = served.events("decode", &json!({ "tokens": tokens, "class": 3 }));
        assert_eq!(image_of(&served, &events), model.reconstruct(&picture).unwrap());
        assert_eq!(named(&events, "image")["name"], "dress");
    }
}

#[test]
fn edits_are_the_librarys() {
    let served = Served::new();
    let (picture, mut model) = (picture(32, 32), small_model());
    let region = Region { top: 0.25, left: 0.0, bottom: 1.0, right: 0.5 };
    for (outpaint, painting) in [(false, Painting::In), (true, Painting::Out)] {
        let body = json!({
            "image": base64(&picture), "box": [0.25, 0, 1, 0.5], "outpaint": outpaint,
            "class": "bag", "seed": 4, "count": 2,
        });
        let events = served.events("edit", &body);
        let images: Vec<&Event> = events.iter().filter(|event| event.name == "image").collect();
        for (index, event) in images.iter().enumerate() {
            let options =
                SampleOptions { seed: 4, first_index: index as u32, ..SampleOptions::default() };
            let edit = Edit { painting, label: Some(8), ..Edit::from(region) };
            let edited = model.edit(&picture, &edit, &options).unwrap();
            let answer = served.get(event.data["url"].as_str().unwrap());
            let served = RgbImage::from_bytes(&answer.body, Exif::Ignored).unwrap();
            assert_eq!(served, edited.picture, "{painting:?} {index}");
        }
        assert_eq!(images.len(), 2);
    }
}

#[test]
fn masks_edit_as_their_boxes_do_and_overlay_keeps_the_reconstruction() {
    let served = Served::new();
    let (picture, mut model) = (picture(64, 64), small_model());
    let white = |at: usize| [255 * u8::from(at / 64 < 32); 3];
    let mask = RgbImage::new(64, 64, (0..64 * 64).flat_map(white).collect());
    let edited = |part: &str, value: Value| {
        let mut body = json!({ "image": base64(&picture), "overlay": true, "seed": 4 });
        body[part] = value;
        image_of(&served, &served.events("edit", &body))
    };
    let (by_box, by_mask) =
        (edited("box", json!([0, 0, 0.5, 1])), edited("mask", json!(base64(&mask))));
    assert_eq!(by_box, by_mask);
    let kept = model.reconstruct(&picture).unwrap();
    let half = kept.rgb().len() / 2;
    assert_eq!(by_mask.rgb()[half..], kept.rgb()[half..]);
    assert_ne!(by_mask.rgb()[..half], kept.rgb()[..half]);
}

#[test]
fn masks_of_other_sizes_and_without_white_are_refused() {
    let served = Served::new();
    let image = base64(&picture(40, 32));
    let refused = |mask: &RgbImage| {
        let body = json!({ "image": image, "mask": base64(mask) }).to_string();
        served.post("/api/edit", &body)
    };
    let small = refused(&picture(32, 32));
    small.assert_error(422, "image", "mask: is 32 × 32, the image is 40 × 32");
    let error = &small.json()["error"];
    assert_eq!((&error["value"], &error["limit"]), (&json!([32, 32]), &json!([40, 32])));
    let black = RgbImage::filled(40, 32, [0; 3]);
    refused(&black).assert_error(422, "range", "mask: no cell");
    let both = json!({ "image": image, "mask": image, "box": [0, 0, 1, 1] }).to_string();
    served.post("/api/edit", &both).assert_error(422, "unknown_field", "mask: goes without box");
}

#[test]
fn scores_are_the_librarys_and_probabilities_sum_to_one() {
    let served = Served::new();
    let (picture, mut model) = (picture(32, 32), small_model());
    let events = served.events("score", &json!({ "image": base64(&picture), "classes": "all" }));
    let scores = named(&events, "scores");
    let nats = model.score(&picture, &(0..10).collect::<Vec<u32>>()).unwrap();
    let listed = scores["scores"].as_array().unwrap();
    assert_eq!(listed.len(), 10);
    for score in listed {
        let label = score["label"].as_u64().unwrap() as usize;
        let told = score["log_likelihood"].as_f64().unwrap();
        assert!((told - nats[label]).abs() < 1e-9, "{told} {}", nats[label]);
    }
    let sum: f64 = listed.iter().map(|score| score["probability"].as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-9, "{sum}");
    assert_eq!(scores["best"], listed[0]["label"]);
    let maps = scores["maps"].as_array().unwrap().iter();
    let cells: f64 = maps
        .flat_map(|map| map["log_likelihood"].as_array().unwrap())
        .map(|cell| cell.as_f64().unwrap())
        .sum();
    let best = listed[0]["log_likelihood"].as_f64().unwrap();
    assert!((cells - best).abs() < 1e-3, "{cells} {best}");
}

#[test]
fn images_of_too_many_pixels_or_none_are_refused_before_they_are_decoded() {
    let served = Served::new();
    // A header of 10 000 × 10 000 pixels, and next to no data.
    let large = png_of(10_000, 10_000);
    assert!(large.len() < 200);
    let answer = post_image(&served, &large);
    answer.assert_error(422, "image", "image: 10000 × 10000 is too large: wants at most 50000000");
    let error = &answer.json()["error"];
    assert_eq!(
        (&error["value"], &error["limit"], &error["size"]),
        (&json!(100_000_000), &json!(50_000_000), &json!([10_000, 10_000]))
    );
    post_image(&served, &png_of(0, 7)).assert_error(422, "image", "has no pixels: 0 × 7");
    post_image(&served, b"").assert_error(422, "image", "is not a PNG");
    post_image(&served, b"no image").assert_error(422, "image", "is not a PNG");
    let truncated = &png_bytes(&picture(40, 40), &Parameters::new()).unwrap()[..90];
    post_image(&served, truncated).assert_error(422, "image", "image: ");
    let text = json!({ "image": "%%%" }).to_string();
    served.post("/api/encode", &text).assert_error(422, "image", "is no base64");
    let number = json!({ "image": 3 }).to_string();
    served.post("/api/encode", &number).assert_error(422, "type", "base64");
}

#[test]
fn wrong_boxes_and_tokens_name_the_option_and_both_numbers() {
    let served = Served::new();
    let image = base64(&picture(32, 32));
    for (region, code, message) in [
        (json!(null), "missing", "box: is missing"),
        (json!([0, 0, 1]), "range", "wants 4 numbers"),
        (json!([0, 0, 1, 2]), "range", "2 is not in 0 to 1"),
        (json!([0.5, 0, 0.5, 1]), "range", "y0 < y1"),
        (json!([0, 0, 0.01, 0.01]), "range", "box: no cell of the 4 × 4 finest map"),
        (json!(["a", 0, 1, 1]), "type", "wants a number"),
    ] {
        let body = json!({ "image": image, "box": region }).to_string();
        served.post("/api/edit", &body).assert_error(422, code, message);
    }
    for (tokens, code, message) in [
        (json!([1]), "range", "has 1 tokens, the model's maps have 30"),
        (json!(vec![512; 30]), "range", "512 is not in 0 to 511"),
        (json!([[1], [1]]), "range", "has 2 maps, the model has 4"),
        (json!([[1], [1], [1], [1]]), "range", "map 1 has 1 tokens, the model's has 4"),
        (json!([[1], 1, 1, 1]), "type", "a list of maps"),
        (json!("a"), "type", "wants a list"),
        (json!(vec!["a"; 30]), "type", "whole numbers"),
    ] {
        let body = json!({ "tokens": tokens }).to_string();
        served.post("/api/decode", &body).assert_error(422, code, message);
    }
}

fn post_image(served: &Served, bytes: &[u8]) -> crate::client::Answer {
    served.post("/api/encode", &json!({ "image": BASE64_STANDARD.encode(bytes) }).to_string())
}

/// A PNG file whose header declares a size that its data do not have.
fn png_of(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = png_bytes(&picture(1, 1), &Parameters::new()).unwrap();
    bytes[16..20].copy_from_slice(&width.to_be_bytes());
    bytes[20..24].copy_from_slice(&height.to_be_bytes());
    let sum = crc32(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&sum.to_be_bytes());
    bytes
}

fn crc32(bytes: &[u8]) -> u32 {
    let sum = bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 }
        })
    });
    !sum
}
