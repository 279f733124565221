//! Sampling: the images are those of the library and of `var sample`, and grow scale by scale.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;
use var_host::images::Exif;
use var_host::{RgbImage, SampleOptions};

use crate::client::{Served, small_model};

#[test]
fn images_are_those_that_the_library_saves() {
    let served = Served::new();
    let body = json!({ "classes": [3, "bag", -1], "count": 2, "seed": 5, "cfg": 3.25, "temperature": 0.5 });
    let events = served.events("sample", &body);
    let mut model = small_model();
    let options =
        SampleOptions { seed: 5, cfg: 3.25, temperature: 0.5, ..SampleOptions::default() };
    let images = model.sample(&[3, 3, 8, 8, 10, 10], &options).unwrap();
    let told: Vec<_> = events.iter().filter(|event| event.name == "image").collect();
    assert_eq!(told.len(), images.len());
    let folder = tempfile::tempdir().unwrap();
    for (image, event) in images.iter().zip(told) {
        let path = folder.path().join("image.png");
        image.save_png(&path).unwrap();
        let answer = served.get(event.data["url"].as_str().unwrap());
        assert_eq!(answer.header("content-type"), Some("image/png"));
        assert!(answer.body == std::fs::read(&path).unwrap(), "image {}", image.index);
        assert_eq!(event.data["parameters"], json!(image.parameters));
    }
    assert_eq!(events.last().unwrap().name, "done");
    assert_eq!(events.last().unwrap().data["images"], 6);
}

#[test]
fn scales_come_one_after_the_other_with_images_and_tokens() {
    let served = Served::new();
    let events = served.events("sample", &json!({ "classes": [1], "seed": 2 }));
    let names: Vec<&str> = events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names, ["queued", "started", "scale", "scale", "scale", "scale", "image", "done"]);
    assert!(events.iter().enumerate().all(|(number, event)| event.id == number));
    let image = small_model()
        .sample(&[1], &SampleOptions { seed: 2, ..SampleOptions::default() })
        .unwrap()
        .remove(0);
    let mut tokens = Vec::new();
    for (scale, event) in events[2..6].iter().enumerate() {
        assert_eq!((&event.data["scale"], &event.data["scales"]), (&json!(scale), &json!(4)));
        assert_eq!(event.data["side"], scale + 1);
        tokens.extend(event.data["tokens"].as_array().unwrap().clone());
        let png = BASE64_STANDARD.decode(event.data["png"].as_str().unwrap()).unwrap();
        let picture = RgbImage::from_bytes(&png, Exif::Ignored).unwrap();
        assert_eq!(picture == image.picture, scale == 3, "scale {scale}");
    }
    assert_eq!(json!(tokens), json!(image.tokens));
}

#[test]
fn previews_can_be_left_out_and_a_seed_is_drawn_where_none_is_given() {
    let served = Served::new();
    let seeds = [(); 2].map(|()| {
        let id = served.submit("sample", &json!({ "classes": [1], "previews": false }));
        let events: Vec<_> = served.listen(&id).collect();
        assert!(
            events.iter().filter(|event| event.name == "scale").all(|e| e.data["png"].is_null())
        );
        served.job(&id)["seed"].as_u64().unwrap()
    });
    assert_ne!(seeds[0], seeds[1]);
}

#[test]
fn wrong_values_name_the_option_and_both_numbers() {
    let served = Served::new();
    for (body, code, message) in [
        (json!({}), "missing", "classes: is missing"),
        (json!({ "classes": [] }), "range", "classes: wants at least one class, has 0"),
        (json!({ "classes": [11] }), "class", "classes: 11: the model has classes 0 to 9"),
        (json!({ "classes": ["bagg"] }), "class", "near it: bag (8)"),
        (json!({ "classes": [0.5] }), "class", "classes: 0.5"),
        (json!({ "classes": ["x".repeat(300)] }), "class", "classes: 300 characters"),
        (json!({ "classes": "bag" }), "type", "classes: wants a list of classes, is a text"),
        (json!({ "classes": [1], "count": 0 }), "range", "count: 0 is not in 1 to 64"),
        (
            json!({ "classes": [1, 2], "count": 33 }),
            "range",
            "count: 66 images are wanted, at most 64",
        ),
        (json!({ "classes": [1], "cfg": -1 }), "range", "cfg: -1 is not in 0 to 1000"),
        (
            json!({ "classes": [1], "temperature": 0 }),
            "range",
            "temperature: 0 is not in 0.01 to 100",
        ),
        (json!({ "classes": [1], "top_p": 2 }), "range", "top_p: 2 is not in 0 to 1"),
        (
            json!({ "classes": [1], "seed": -1 }),
            "range",
            "seed: -1 is not in 0 to 18446744073709551615",
        ),
        (json!({ "classes": [1], "more_smooth": 1 }), "type", "more_smooth: wants true or false"),
        (
            json!({ "classes": [1], "first_index": 4294967295_u64 }),
            "range",
            "first_index: 4294967295",
        ),
        (json!({ "classes": [1], "sede": 1 }), "unknown_field", "sede: no such option"),
    ] {
        served.post("/api/sample", &body.to_string()).assert_error(422, code, message);
    }
}
