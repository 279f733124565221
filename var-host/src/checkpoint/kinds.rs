//! Files that are no checkpoints but are taken for one: told by their first bytes, with what to do.

use super::FormatError;

/// Longest text that is quoted in a message.
const QUOTE_LIMIT: usize = 80;

/// What to do with a download that went wrong.
const DOWNLOAD: &str =
    "download the file itself; of Hugging Face's addresses that with /resolve/, not /blob/";

/// What `file` is, if it is of a known kind.
pub(super) fn named(file: &[u8]) -> Option<FormatError> {
    let other = |what: &str, advice| Some(FormatError::OtherKind { what: what.to_owned(), advice });
    let signatures: &[(&[u8], &str, &'static str)] = &[
        #[cfg(not(feature = "torch"))]
        (b"PK\x03\x04", "a zip archive, as torch.save writes it", CONVERT),
        #[cfg(not(feature = "torch"))]
        (
            b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19",
            "a file of torch.save",
            CONVERT,
        ),
        (b"\x1f\x8b", "a gzip archive", "unpack it with gunzip"),
        (b"BZh", "a bzip2 archive", "unpack it with bunzip2"),
        (b"\xfd7zXZ\0", "an xz archive", "unpack it with unxz"),
        (b"\x28\xb5\x2f\xfd", "a zstd archive", "unpack it with unzstd"),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it"),
        (b"Rar!", "a RAR archive", "unpack it"),
        (b"PK\x05\x06", "an empty zip archive", "download it again"),
        (b"GGUF", "a GGUF file", GIVE_TENSORS),
        (b"\x89HDF\r\n", "an HDF5 file (Keras, MATLAB)", GIVE_TENSORS),
        (b"\x93NUMPY", "a NumPy array", GIVE_TENSORS),
        (b"\x89PNG", "a PNG image", "give the model's file"),
        (b"\xff\xd8\xff", "a JPEG image", "give the model's file"),
        (b"RIFF", "a WebP image or a sound", "give the model's file"),
        (b"GIF8", "a GIF image", "give the model's file"),
        (b"%PDF", "a PDF document", DOWNLOAD),
        (b"\x7fELF", "a program", "give the model's file"),
        (b"MZ", "a Windows program", "give the model's file"),
        (
            b"\0\x05\x16\x07",
            "macOS's notes on a file (._…)",
            "give the file without ._ in its name",
        ),
        (b"\xff\xfe", "a text in UTF-16", DOWNLOAD),
        (b"\xfe\xff", "a text in UTF-16", DOWNLOAD),
        (b"\x08\x03\x12", "an ONNX file", GIVE_TENSORS),
        (b"\x80", "a Python pickle that torch.save did not write", GIVE_TENSORS),
    ];
    if file.is_empty() {
        return other("an empty file", "download or copy it again");
    }
    if file.iter().all(|byte| *byte == 0) {
        return other("a file of zeros alone", "download or copy it again");
    }
    let text = String::from_utf8_lossy(&file[..file.len().min(4096)]);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if text.starts_with("version https://git-lfs") {
        return Some(lfs(text));
    }
    let lower = text.get(..text.len().min(64)).unwrap_or(text).to_ascii_lowercase();
    if lower.starts_with("<!doctype html")
        || lower.starts_with("<html")
        || lower.starts_with("<head")
    {
        return other("a web page", DOWNLOAD);
    }
    if lower.starts_with("<?xml") || lower.starts_with("<error") {
        let code = between(text, "<Code>", "</Code>").or(between(text, "<Message>", "</Message>"));
        let what =
            code.map_or("an XML file".to_owned(), |code| format!("a server's XML answer ({code})"));
        return Some(FormatError::OtherKind { what, advice: DOWNLOAD });
    }
    if file.get(257..262) == Some(b"ustar") {
        return other(
            "a tar archive (PyTorch before 0.2 wrote such, too)",
            "unpack it, or save it again by torch.save",
        );
    }
    if file.len() > 48 && file.ends_with(&0xdb47_7524_8b80_fb57_u64.to_le_bytes()) {
        return other("the index of a TensorFlow checkpoint", GIVE_TENSORS);
    }
    let found = signatures.iter().find(|(start, ..)| file.starts_with(start));
    if let Some((_, what, advice)) = found {
        return other(what, advice);
    }
    let onnx = file.starts_with(b"\x08")
        && file[..file.len().min(64)].windows(7).any(|part| part == b"pytorch");
    if onnx {
        return other("an ONNX file", GIVE_TENSORS);
    }
    let readable = |c: char| !c.is_control() || c.is_whitespace();
    if text.len() >= 4 && text.chars().take(512).all(|c| readable(c) && c != '\u{fffd}') {
        let what =
            format!("a text, which begins with {:?}", quote(text.lines().next().unwrap_or(text)));
        return Some(FormatError::OtherKind { what, advice: DOWNLOAD });
    }
    None
}

/// What to do with PyTorch's files where they are not read.
#[cfg(not(feature = "torch"))]
const CONVERT: &str = "this program reads safetensors alone, which var convert makes of it";
/// What to do with weights in another format.
const GIVE_TENSORS: &str = "save its tensors as safetensors or by torch.save";

/// A pointer in the place of a file of Git LFS.
fn lfs(text: &str) -> FormatError {
    let size = text.lines().find_map(|line| line.strip_prefix("size ")?.trim().parse::<u64>().ok());
    let size = size.map_or(String::new(), |size| format!(" of {size} bytes"));
    FormatError::OtherKind {
        what: format!("a Git LFS pointer to a file{size}"),
        advice: "fetch the file itself: git lfs install, then git lfs pull",
    }
}

fn between<'t>(text: &'t str, before: &str, after: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(before)?;
    let (inner, _) = rest.split_once(after)?;
    Some(quote(inner))
}

/// The start of `text`, at most [`QUOTE_LIMIT`] bytes of it.
fn quote(text: &str) -> &str {
    let end = (0..=text.len().min(QUOTE_LIMIT)).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::checkpoint::Checkpoint;

    /// C02d: what people have in the place of a checkpoint is named, with what to do.
    #[test]
    fn files_of_other_kinds_are_named() {
        let mut tar = vec![b'x'; 600];
        tar[257..262].copy_from_slice(b"ustar");
        let lfs = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1240000000\n";
        for (file, wants) in [
            (&lfs[..], "a Git LFS pointer to a file of 1240000000 bytes: fetch the file itself"),
            (b"", "an empty file: download"),
            (&[0; 100], "a file of zeros alone"),
            (b"<!DOCTYPE html><html><body>Sign in</body></html>", "a web page: download the file"),
            (b"\n  <HTML>", "a web page"),
            (
                b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>",
                "a server's XML answer (AccessDenied)",
            ),
            (b"\x1f\x8b\x08\x00abc", "a gzip archive: unpack it with gunzip"),
            (b"GGUF\x03\0\0\0", "a GGUF file"),
            (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
            (b"\x08\x08\x12\x07pytorch\0\0", "an ONNX file"),
            (b"\x80\x04\x95\x10\0\0\0\0\0\0\0}.", "a Python pickle that torch.save did not write"),
            (
                b"{\"error\": \"Repository not found\"}",
                "a text, which begins with \"{\\\"error\\\"",
            ),
            (b"Not Found", "a text, which begins with \"Not Found\""),
            (&tar, "a tar archive"),
            (b"\xff\xfe<\0h\0t\0", "a text in UTF-16"),
        ] {
            let refusal = Checkpoint::from_bytes(file).unwrap_err().to_string();
            let wants = format!("not a checkpoint but {wants}");
            assert!(refusal.starts_with(&wants), "{refusal}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Checkpoint::from_bytes(&bytes);
        }

        #[test]
        fn any_text_is_refused(text in "\\PC{0,200}") {
            prop_assert!(Checkpoint::from_bytes(text.as_bytes()).is_err());
        }
    }
}
