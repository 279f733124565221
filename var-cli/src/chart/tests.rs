use super::*;

fn figure() -> Figure {
    let wave = |n: i32| [f64::from(n), 2.0 + f64::from(n).cos()];
    let curve = |style| Curve { points: (0..200).map(wave).collect(), color: 1, style };
    let panel = |title: &str, logarithmic| Panel {
        title: title.to_owned(),
        x_label: "iteration".to_owned(),
        logarithmic,
        curves: vec![curve(Style::Line), curve(Style::Circles)],
        ..Panel::default()
    };
    let entry = |label: &str| Entry { label: label.to_owned(), color: Some(1), style: Style::Line };
    Figure {
        legend: vec![entry("a<b & \"c\""), entry("second")],
        panels: vec![
            panel("L_mean", [false; 2]),
            panel("lr", [true, true]),
            panel("é", [false; 2]),
        ],
        columns: 2,
    }
}

#[test]
fn svg_holds_its_texts_and_curves() {
    let figure = figure();
    let svg = figure.svg().unwrap();
    assert!(svg.starts_with("<svg width=\"960\" height=\"622\" "));
    assert!(svg.contains(" viewBox=\"0 0 15360 9952\""));
    for text in ["a&lt;b &amp; ", "L_mean", "second", "iteration", "200", "é"] {
        assert!(svg.contains(text), "{text}");
    }
    // Two samples, and two curves in each of three panels.
    assert!(svg.matches("<polyline").count() >= 8);
    assert!(svg.ends_with(MADE_BY));
    assert_eq!(svg, figure.svg().unwrap(), "the same every time");
}

#[test]
fn picture_shows_text_and_color() {
    let picture = figure().picture().unwrap();
    assert_eq!((picture.width(), picture.height()), (1920, 1244));
    let pixels = |top: usize, bottom: usize, is: fn(&[u8]) -> bool| {
        let rows = &picture.rgb()[top * 1920 * 3..bottom * 1920 * 3];
        rows.chunks_exact(3).filter(|pixel| is(pixel)).count()
    };
    let dark = |pixel: &[u8]| pixel.iter().all(|value| *value < 80);
    let orange = |pixel: &[u8]| pixel[0] > 220 && pixel[1] < 150 && pixel[2] < 60;
    // The legend, the titles of the first row, and its curves.
    assert!(pixels(0, 44, dark) > 300 && pixels(0, 44, orange) > 100);
    assert!(pixels(44, 100, dark) > 150);
    assert!(pixels(120, 500, orange) > 3000);
}

#[test]
fn panel_without_points_says_so() {
    let mut figure = figure();
    figure.panels[1].curves = vec![Curve {
        points: vec![[0.0, 1.0], [1.0, f64::NAN], [2.0, -1.0]],
        color: 0,
        style: Style::Line,
    }];
    assert!(figure.svg().unwrap().contains("nothing to show"));
}

#[test]
fn long_legends_take_more_lines() {
    let mut figure = figure();
    let height = figure.size()[1];
    let entry = figure.legend[0].clone();
    figure.legend.extend(vec![entry; 30]);
    assert!(figure.size()[1] > height + 2 * LEGEND_LINE);
}

#[test]
fn band_and_notes_leave_the_axes_as_they_are() {
    let plain = figure().svg().unwrap();
    let labels = |svg: &str| -> Vec<String> {
        let numbers = svg.lines().filter(|line| line.parse::<f64>().is_ok());
        numbers.map(str::to_owned).collect()
    };
    let mut figure = figure();
    let outline = [[-50.0, 2.5], [900.0, 1e6], [900.0, 1.5], [-50.0, 2.0]];
    let band = Curve { points: outline.to_vec(), color: 1, style: Style::Band };
    figure.panels[0].curves.insert(0, band);
    figure.panels[0].notes = vec![Note { at: [100.0, 2.0], text: "d4".to_owned() }];
    let svg = figure.svg().unwrap();
    assert_eq!(labels(&svg), labels(&plain));
    assert!(!labels(&svg).is_empty() && svg.contains("\nd4\n"));
    let outline = svg.split("<polygon ").nth(1).and_then(|rest| rest.split("points=\"").nth(1));
    let outline = outline.and_then(|rest| rest.split('"').next()).unwrap();
    let corners: Vec<(f64, f64)> = (outline.split_whitespace())
        .map(|corner| {
            let (x, y) = corner.split_once(',').unwrap();
            (x.parse().unwrap(), y.parse().unwrap())
        })
        .collect();
    // Cut off at the first panel's axes, in the units of the SVG.
    let within = |(x, y): &(f64, f64)| {
        (64.0 * 16.0..=462.0 * 16.0).contains(x) && (0.0..=(300.0 + 22.0) * 16.0).contains(y)
    };
    assert!(corners.len() >= 4 && corners.iter().all(within), "{corners:?}");
}
