//! Event files, as TensorBoard reads them: scalars and images.
//!
//! A file is a row of records (length, its checksum, an event, its checksum), an event a message of
//! protocol buffers (`tensorboard/compat/proto/{event,summary}.proto`), of which this writes the few
//! fields it needs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crc_fast::CrcAlgorithm::Crc32Iscsi;

use super::RunError;
use super::append::Appended;
use crate::images::{Parameters, RgbImage, png_bytes};

/// The beginning of the names by which TensorBoard knows the files; the seconds since 1970 follow,
/// then a name.
const PREFIX: &str = "events.out.tfevents.";

/// An event file that is being written.
#[derive(Debug)]
pub struct Events(Appended);

impl Events {
    /// Makes a new event file in `folder`, for a run that goes on at step `resume_at`.
    ///
    /// TensorBoard reads the files of a folder by their names, which ascend, and drops of earlier
    /// files all steps from `resume_at` on.
    ///
    /// # Errors
    /// If the folder cannot be read or the file not written.
    pub fn create(folder: &Path, resume_at: u64) -> Result<Self, RunError> {
        let mut file = Appended::open(next_path(folder)?)?;
        file.append(&record(&file_version(now())))?;
        file.append(&record(&session_start(now(), resume_at)))?;
        Ok(Self(file))
    }

    /// Appends scalars by their tags, such as `train/L_mean`.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn scalars<'t>(
        &mut self,
        step: u64,
        values: impl IntoIterator<Item = (&'t str, f32)>,
    ) -> Result<(), RunError> {
        let values = values.into_iter().map(|(tag, value)| scalar(tag, value));
        self.0.append(&record(&summary(now(), step, values)))
    }

    /// Appends an image.
    ///
    /// # Errors
    /// If the image is too large for a PNG file or the file cannot be written.
    pub fn picture(&mut self, step: u64, tag: &str, picture: &RgbImage) -> Result<(), RunError> {
        let png = png_bytes(picture, &Parameters::new())?;
        let image = image(tag, picture.height(), picture.width(), &png);
        self.0.append(&record(&summary(now(), step, [image])))
    }
}

/// A name after those of all event files in `folder`.
fn next_path(folder: &Path) -> Result<PathBuf, RunError> {
    let mut seconds = now() as u64;
    for entry in fs::read_dir(folder).map_err(RunError::io("read", folder))? {
        let name = entry.map_err(RunError::io("read", folder))?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('.').next());
        if let Some(taken) = number.and_then(|number| number.parse::<u64>().ok()) {
            seconds = seconds.max(taken.saturating_add(1));
        }
    }
    Ok(folder.join(format!("{PREFIX}{seconds:010}.var")))
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// `Event { wall_time, file_version }`: the first of a file.
fn file_version(wall_time: f64) -> Message {
    Message::default().double(1, wall_time).bytes(3, b"brain.Event:2")
}

/// `Event { wall_time, step, session_log: { status: START } }`: of earlier files, nothing from this
/// step on is valid.
fn session_start(wall_time: f64, step: u64) -> Message {
    Message::default()
        .double(1, wall_time)
        .integer(2, step)
        .message(7, Message::default().integer(1, 1))
}

/// `Event { wall_time, step, summary: { values } }`
fn summary(wall_time: f64, step: u64, values: impl IntoIterator<Item = Message>) -> Message {
    let summary =
        values.into_iter().fold(Message::default(), |summary, value| summary.message(1, value));
    Message::default().double(1, wall_time).integer(2, step).message(5, summary)
}

/// `Summary.Value { tag, simple_value }`
fn scalar(tag: &str, value: f32) -> Message {
    Message::default().bytes(1, tag.as_bytes()).float(2, value)
}

/// `Summary.Value { tag, image: { height, width, colorspace: RGB, encoded_image_string } }`
fn image(tag: &str, height: usize, width: usize, png: &[u8]) -> Message {
    let image = Message::default().integer(1, height as u64).integer(2, width as u64);
    let image = image.integer(3, 3).bytes(4, png);
    Message::default().bytes(1, tag.as_bytes()).message(4, image)
}

/// A message of protocol buffers in the making: fields by their numbers, in ascending order.
#[derive(Default)]
struct Message(Vec<u8>);

/// How a field's value is stored.
#[derive(Clone, Copy)]
enum Wire {
    Varint = 0,
    Fixed64 = 1,
    Length = 2,
    Fixed32 = 5,
}

impl Message {
    /// An integer; zero is the default of a missing one, and is not written.
    fn integer(self, field: u32, value: u64) -> Self {
        if value == 0 { self } else { self.key(field, Wire::Varint).varint(value) }
    }

    fn double(self, field: u32, value: f64) -> Self {
        self.key(field, Wire::Fixed64).raw(&value.to_le_bytes())
    }

    fn float(self, field: u32, value: f32) -> Self {
        self.key(field, Wire::Fixed32).raw(&value.to_le_bytes())
    }

    fn bytes(self, field: u32, bytes: &[u8]) -> Self {
        self.key(field, Wire::Length).varint(bytes.len() as u64).raw(bytes)
    }

    fn message(self, field: u32, message: Self) -> Self {
        self.bytes(field, &message.0)
    }

    fn key(self, field: u32, wire: Wire) -> Self {
        self.varint(u64::from(field << 3 | wire as u32))
    }

    /// Seven bits a byte, the lowest first; the eighth says that more follow.
    fn varint(mut self, mut value: u64) -> Self {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.raw(&[value as u8])
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }
}

/// A record of an event file.
fn record(event: &Message) -> Vec<u8> {
    let length = (event.0.len() as u64).to_le_bytes();
    let parts = [&length[..], &masked_crc(&length), &event.0, &masked_crc(&event.0)];
    parts.concat()
}

/// The CRC-32C of `bytes`, turned and shifted so that the checksum of a text that holds its own
/// checksum is still a good one.
fn masked_crc(bytes: &[u8]) -> [u8; 4] {
    let crc = crc_fast::checksum(Crc32Iscsi, bytes) as u32;
    crc.rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    /// The events of `fixtures/make_tensorboard_events.py`, in its order.
    fn events() -> [Message; 5] {
        [
            file_version(1.5e9),
            session_start(1.5e9 + 0.25, 0),
            session_start(1.5e9 + 0.5, 300),
            summary(1.6e9, 1 << 40, [scalar("train/L_mean", 2.25), scalar("é", -0.0)]),
            summary(1.7e9, 7, [image("samples", 2, 300, &[0x89; 200])]),
        ]
    }

    #[test]
    fn records_are_the_bytes_of_tensorboard() {
        let expected = fs::read("../fixtures/tensorboard.tfevents").unwrap();
        let mut rest = &expected[..];
        for (number, event) in events().iter().enumerate() {
            let record = record(event);
            assert_eq!(record, rest[..record.len().min(rest.len())], "event {number}");
            rest = &rest[record.len()..];
        }
        assert!(rest.is_empty());
    }

    #[test]
    fn later_file_has_a_later_name() {
        let place = TempDir::new().unwrap();
        fs::write(place.path().join("events.out.tfevents.9999999990.host.1.0"), "").unwrap();
        for _ in 0..3 {
            Events::create(place.path(), 0).unwrap();
        }
        let entries = fs::read_dir(place.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        let numbers = ["9999999990.host.1.0", "9999999991.var", "9999999992.var", "9999999993.var"];
        assert_eq!(names, numbers.map(|number| format!("{PREFIX}{number}")));
    }
}
