//! JPEG layouts from a small encoder: any sampling factors, scans in any order. J03, J05b, J07.

use super::segments::{self, END_OF_IMAGE, START_OF_SCAN};
use crate::images::RgbImage;
use crate::images::decode::tests::{decoded, golden_file, refusal};

const WIDTH: usize = 45;
const HEIGHT: usize = 37;

fn segment(marker: u8, body: &[u8]) -> Vec<u8> {
    [&[0xff, marker][..], &(body.len() as u16 + 2).to_be_bytes(), body].concat()
}

/// Bits, highest first, with a zero byte behind each 0xff.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    pending: u32,
    count: u32,
}

impl Bits {
    fn push(&mut self, value: u32, count: u32) {
        for bit in (0..count).rev() {
            self.pending = self.pending << 1 | (value >> bit & 1);
            self.count += 1;
            if self.count == 8 {
                self.bytes.push(self.pending as u8);
                if self.pending == 0xff {
                    self.bytes.push(0);
                }
                (self.pending, self.count) = (0, 0);
            }
        }
    }

    fn finish(mut self) -> Vec<u8> {
        self.push(0x7f, (8 - self.count) % 8);
        self.bytes
    }
}

/// One component: sampling factors and the level of each block, −128 to 127.
type Component<'a> = ((usize, usize), &'a dyn Fn(usize, usize) -> i32);

/// A baseline file of flat blocks; `scans` lists the components of each scan.
fn encoded(components: &[Component<'_>], scans: &[&[usize]]) -> Vec<u8> {
    let largest = |side: fn(&(usize, usize)) -> usize| {
        components.iter().map(|(sampling, _)| side(sampling)).max().unwrap()
    };
    let (h_max, v_max) = (largest(|sampling| sampling.0), largest(|sampling| sampling.1));
    let mut frame = vec![8, 0, HEIGHT as u8, 0, WIDTH as u8, components.len() as u8];
    for (index, ((h, v), _)) in components.iter().enumerate() {
        frame.extend([index as u8 + 1, (h << 4 | v) as u8, 0]);
    }
    // A level of one step is one of the samples: 8 · 8 / 8 of the constant coefficient.
    let steps = [[0, 8].as_slice(), &[1; 63]].concat();
    // Twelve sizes of differences with four bits each; a block ends with one bit.
    let sizes = [&[0, 0, 0, 0, 12][..], &[0; 12], &Vec::from_iter(0..12)].concat();
    let ends = [&[0x10, 1][..], &[0; 15], &[0]].concat();
    let mut file = vec![0xff, 0xd8];
    for (marker, body) in [(0xdb, &steps), (0xc0, &frame), (0xc4, &sizes), (0xc4, &ends)] {
        file.extend(segment(marker, body));
    }
    for scan in scans {
        let mut header = vec![scan.len() as u8];
        header.extend(scan.iter().flat_map(|component| [*component as u8 + 1, 0]));
        header.extend([0, 63, 0]);
        file.extend(segment(START_OF_SCAN, &header));
        let mut bits = Bits::default();
        let mut previous = vec![0; components.len()];
        let mut block = |component: usize, x: usize, y: usize| {
            let level = components[component].1(x, y);
            let difference = level - previous[component];
            previous[component] = level;
            let size = 32 - difference.unsigned_abs().leading_zeros();
            bits.push(size, 4);
            let code = if difference < 0 { difference - 1 } else { difference };
            bits.push(code as u32 & ((1 << size) - 1), size);
            bits.push(0, 1);
        };
        if let [component] = **scan {
            let (h, v) = components[component].0;
            let blocks =
                |side: usize, own: usize, max: usize| (side * own).div_ceil(max).div_ceil(8);
            for y in 0..blocks(HEIGHT, v, v_max) {
                (0..blocks(WIDTH, h, h_max)).for_each(|x| block(component, x, y));
            }
        } else {
            for (my, mx) in (0..HEIGHT.div_ceil(8 * v_max))
                .flat_map(|my| (0..WIDTH.div_ceil(8 * h_max)).map(move |mx| (my, mx)))
            {
                for &component in *scan {
                    let (h, v) = components[component].0;
                    for (y, x) in (0..v).flat_map(|y| (0..h).map(move |x| (y, x))) {
                        block(component, mx * h + x, my * v + y);
                    }
                }
            }
        }
        file.extend(bits.finish());
    }
    file.extend([0xff, END_OF_IMAGE]);
    file
}

/// Sampling factors of luma, Cb and Cr that are read.
const SAMPLINGS: [[(usize, usize); 3]; 12] = [
    [(1, 1), (1, 1), (1, 1)],
    [(2, 1), (1, 1), (1, 1)],
    [(1, 2), (1, 1), (1, 1)],
    [(2, 2), (1, 1), (1, 1)],
    [(4, 1), (1, 1), (1, 1)],
    [(1, 4), (1, 1), (1, 1)],
    [(4, 2), (1, 1), (1, 1)],
    [(2, 2), (1, 2), (2, 1)],
    [(2, 2), (2, 1), (2, 1)],
    [(2, 1), (1, 1), (2, 1)],
    [(3, 1), (1, 1), (1, 1)],
    [(3, 2), (1, 1), (1, 1)],
];

#[test]
fn jpeg_scans_of_any_order_give_one_picture() {
    let luma = |x: usize, y: usize| (37 * x + 91 * y) as i32 % 200 - 100;
    let blue = |x: usize, y: usize| (53 * x + 17 * y) as i32 % 90 - 45;
    let red = |x: usize, y: usize| (29 * x + 71 * y) as i32 % 80 - 40;
    for [y, cb, cr] in SAMPLINGS {
        let components: [Component<'_>; 3] = [(y, &luma), (cb, &blue), (cr, &red)];
        let together = decoded(&encoded(&components, &[&[0, 1, 2]])).unwrap();
        assert_eq!((together.width(), together.height()), (WIDTH, HEIGHT));
        let scans: [&[&[usize]]; 3] =
            [&[&[0], &[1], &[2]], &[&[1], &[2], &[0]], &[&[2], &[1], &[0]]];
        for scans in scans {
            let apart = decoded(&encoded(&components, scans)).unwrap();
            assert_eq!(apart, together, "{y:?} {cb:?} {cr:?} in scans {scans:?}");
        }
    }
}

#[test]
fn jpeg_of_one_color_has_it_everywhere() {
    // Y = 100, Cb = 90, Cr = 180: R = Y + 1.402 · 52, G = Y + 0.344 · 38 − 0.714 · 52,
    // B = Y − 1.772 · 38.
    let components = |[y, cb, cr]: [(usize, usize); 3]| -> [Component<'static>; 3] {
        [(y, &|_, _| -28), (cb, &|_, _| -38), (cr, &|_, _| 52)]
    };
    for sampling in SAMPLINGS {
        let expected = RgbImage::filled(WIDTH, HEIGHT, [173, 76, 33]);
        let file = encoded(&components(sampling), &[&[0, 1, 2]]);
        assert_eq!(decoded(&file).unwrap(), expected, "{sampling:?}");
    }
    let flat: [Component<'_>; 1] = [((2, 2), &|_, _| 12)];
    let expected = RgbImage::filled(WIDTH, HEIGHT, [140; 3]);
    assert_eq!(decoded(&encoded(&flat, &[&[0]])).unwrap(), expected);
}

#[test]
fn jpeg_chroma_between_blocks_is_interpolated() {
    // "Fancy" upsampling: ¾ of the nearer and ¼ of the farther sample, so that a step of 64 in Cr
    // between two blocks is 16 on each side of the border; 1.402 · 16 = 22.4.
    let components: [Component<'_>; 3] =
        [((2, 1), &|_, _| 0), ((1, 1), &|_, _| 0), ((1, 1), &|x, _| if x == 0 { 0 } else { 64 })];
    let picture = decoded(&encoded(&components, &[&[0, 1, 2]])).unwrap();
    let red: Vec<u8> = (14..18).map(|x| picture.rgb()[3 * x]).collect();
    assert_eq!(red, [128, 150, 195, 218]);
}

#[test]
fn jpeg_luma_coarser_than_chroma_is_refused_by_name() {
    let components: [Component<'_>; 3] =
        [((1, 1), &|_, _| 0), ((2, 2), &|_, _| 0), ((2, 2), &|_, _| 0)];
    let fault = refusal(&encoded(&components, &[&[0, 1, 2]]));
    let expected = "JPEG with luma sampled 1 × 1 beside chroma sampled 2 × 2 is not supported";
    assert_eq!(fault, expected);
}

// zune-image 436: CMYK of one sampling for its first component, as libjpeg's users set it, and another for the rest.
#[test]
fn jpeg_of_four_components_is_read_where_black_is_as_fine_as_cyan() {
    // Inverted inks: R = C · K / 255, and so on.
    let inks = |sampling: [(usize, usize); 4]| -> [Component<'static>; 4] {
        let levels: [&dyn Fn(usize, usize) -> i32; 4] =
            [&|_, _| 72, &|_, _| 22, &|_, _| -28, &|_, _| 77];
        core::array::from_fn(|ink| (sampling[ink], levels[ink]))
    };
    let expected = RgbImage::filled(WIDTH, HEIGHT, [161, 121, 80]);
    let (fine, coarse) = ((2, 2), (1, 1));
    for sampling in [[coarse; 4], [fine, coarse, coarse, fine]] {
        let file = encoded(&inks(sampling), &[&[0, 1, 2, 3]]);
        assert_eq!(decoded(&file).unwrap(), expected, "{sampling:?}");
    }
    for (sampling, told) in [
        ([fine, coarse, coarse, coarse], "2 × 2, 1 × 1, 1 × 1, 1 × 1"),
        ([(2, 1), coarse, coarse, coarse], "2 × 1, 1 × 1, 1 × 1, 1 × 1"),
        ([fine, coarse, fine, fine], "2 × 2, 1 × 1, 2 × 2, 2 × 2"),
    ] {
        let fault = refusal(&encoded(&inks(sampling), &[&[0, 1, 2, 3]]));
        let expected = format!("JPEG with four components sampled {told} is not supported");
        assert_eq!(fault, expected);
    }
}

#[test]
fn jpeg_scans_that_are_not_one_for_each_component_are_refused() {
    let flat: Component<'_> = ((1, 1), &|_, _| 0);
    let scans: [(&[&[usize]], &str); 4] = [
        (&[&[0, 1], &[2]], "JPEG with a scan of 2 of 3 components is not supported"),
        (&[&[0], &[1]], "damaged JPEG: 2 scans of single components, 3 components"),
        (&[&[0], &[1], &[1]], "damaged JPEG: a component has no scan"),
        (&[], "damaged JPEG: 0 scans of single components, 3 components"),
    ];
    for (scans, fault) in scans {
        assert_eq!(refusal(&encoded(&[flat, flat, flat], scans)), fault);
    }
}

#[test]
fn jpeg_codings_that_are_not_read_are_named() {
    let (file, _) = golden_file("jpeg_444");
    let frame = file.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
    for (place, byte, feature) in [
        (1, 0xc3, "lossless coding"),
        (1, 0xc5, "hierarchical coding"),
        (1, 0xca, "progressive arithmetic coding"),
        (4, 12, "12 bits per sample"),
    ] {
        let mut other = file.clone();
        other[frame + place] = byte;
        assert_eq!(refusal(&other), format!("JPEG with {feature} is not supported"));
    }
    let mut one_name = file.clone();
    one_name[frame + 13] = 1;
    assert_eq!(refusal(&one_name), "JPEG with components of one name is not supported");
    let two: [Component<'_>; 2] = [((1, 1), &|_, _| 0), ((1, 1), &|_, _| 0)];
    let fault = refusal(&encoded(&two, &[&[0, 1]]));
    assert_eq!(fault, "JPEG with 2 components is not supported");
}

/// The file without its segments of one kind.
fn without(file: &[u8], marker: u8) -> Vec<u8> {
    let mut kept = file.to_vec();
    for segment in segments::segments(file).unwrap().iter().rev() {
        let start = segment.body.as_ptr() as usize - file.as_ptr() as usize - 4;
        if segment.marker == marker {
            kept.drain(start..start + 4 + segment.body.len());
        }
    }
    kept
}

#[test]
fn jpeg_damage_that_leaves_pixels_whole_is_read_over() {
    let (file, expected) = golden_file("jpeg_420");
    let end = file.len() - 2;
    let table = file.windows(2).position(|marker| marker == [0xff, 0xdb]).unwrap();
    let between = |place: usize, bytes: &[u8]| [&file[..place], bytes, &file[place..]].concat();
    for (name, damaged) in [
        ("bytes behind", [&file[..], &[0; 1000]].concat()),
        ("a second image behind", [&file[..], &file[..]].concat()),
        ("a stray byte before the end", between(end, &[0x55])),
        ("fill bytes before the end", between(end, &[0xff, 0xff])),
        ("fill bytes before a table", between(table, &[0xff; 3])),
        ("stray bytes before a table", between(table, &[0x11; 9])),
        ("no JFIF segment", without(&file, 0xe0)),
        // A frame of a Motion-JPEG film: its tables are the standard's.
        ("no Huffman tables", without(&file, 0xc4)),
        ("a broken color profile", between(table, &segment(0xe2, b"ICC_PROFILE\0\x02\x05abc"))),
        ("an empty segment", between(table, &segment(0xed, b""))),
    ] {
        assert_eq!(decoded(&damaged).unwrap(), expected, "{name}");
    }
}

#[test]
fn jpeg_damage_is_refused() {
    let (file, _) = golden_file("jpeg_420");
    let end = file.len() - 2;
    let between = |place: usize, bytes: &[u8]| [&file[..place], bytes, &file[place..]].concat();
    for (damaged, fault) in [
        (file[..end].to_vec(), "no end-of-image marker"),
        ([&file[..end - 40], &[0xff, END_OF_IMAGE]].concat(), "unexpected end of data"),
        (between(2, &segment(0xee, b"Adobe")), "bad segment 0xffee"),
        (between(2, &[0xff, 0x38, 0, 2]), "unknown marker 0xff38"),
        (without(&file, 0xc0), "no frame"),
        (between(2, &segment(0xc0, &[8, 0, 9, 0, 9, 1, 1, 0x11, 0])), "more than one frame"),
    ] {
        assert_eq!(refusal(&damaged), format!("damaged JPEG: {fault}"));
    }
    // 16383 × 16383 pixels in a file of a few kilobytes: no memory is taken for them.
    let mut immense = file.clone();
    let frame = file.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
    immense[frame + 5..frame + 9].copy_from_slice(&[0x3f, 0xff, 0x3f, 0xff]);
    assert_eq!(refusal(&immense), "damaged JPEG: its data are cut short");
    assert!(refusal(&[&b"\r\n"[..], &file].concat()).starts_with("is not a PNG, JPEG"));
}

#[test]
fn jpeg_ends_of_progressive_files_are_not_missed() {
    let (file, expected) = golden_file("jpeg_progressive");
    assert_eq!(decoded(&file).unwrap(), expected);
    assert_eq!(refusal(&file[..file.len() - 2]), "damaged JPEG: no end-of-image marker");
}
