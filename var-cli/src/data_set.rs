//! Data sets as commands describe them.

use std::collections::BTreeSet;
use std::path::Path;

use var_host::data::{AugmentKey, CropPositions, CropSpec, Flip, Folder, TokenSet};
use var_host::images::{CropSettings, ImageError, RgbImage};
use var_host::plural::count;
use var_host::train::dataset::DataSet;

use crate::args::Session;

/// The most classes that are named.
const NAMED: usize = 5;

/// `DATA: 8 images of 2 classes: ant, bee`
pub(crate) fn folder(folder: &Folder) -> String {
    text(folder.path(), folder.pictures(), "", folder.classes().len(), folder.classes())
}

/// `FILE: 8 images of 2 classes, 4 variants each: ant, bee`
pub(crate) fn tokens(set: &TokenSet) -> String {
    let variants = match set.variants() {
        1 => String::new(),
        variants => format!(", {variants} variants each"),
    };
    let names = set.class_names().unwrap_or_default();
    text(set.path(), set.pictures(), &variants, set.classes(), names)
}

/// The line of [`folder`] or [`tokens`].
pub(crate) fn either(set: &DataSet) -> String {
    match set {
        DataSet::Images { folder: pictures, .. } => folder(pictures),
        DataSet::Tokens(set) => tokens(set),
    }
}

fn text(path: &Path, pictures: usize, more: &str, classes: usize, names: &[String]) -> String {
    let mut named = names[..names.len().min(NAMED)].join(", ");
    if names.len() > NAMED {
        named += ", …";
    }
    let named = if named.is_empty() { named } else { format!(": {named}") };
    let pictures = count(pictures, "image");
    let classes = count(classes, "class");
    format!("{}: {pictures} of {classes}{more}{named}", path.display())
}

/// `32 × 32, the shorter side resized to 36, cut anywhere, mirrored every other time`
pub(crate) fn crops(spec: &CropSpec) -> String {
    let crops = match spec.crops {
        CropPositions::Center => "cut in the middle",
        CropPositions::Random(_) => "cut anywhere",
    };
    let flip = match spec.flip {
        Flip::Never => "",
        Flip::Random => ", mirrored every other time",
        Flip::Both => ", also mirrored",
    };
    let (side, resized) = (spec.side, spec.resized_side());
    format!("{side} × {side}, the shorter side resized to {resized}, {crops}{flip}")
}

/// How many times the model's side the shorter side is resized to: as asked for, else as it was when the
/// model learned, else as the published training has it.
pub(crate) fn mid_reso(asked: Option<f64>, cut: Option<CropSettings>) -> f64 {
    asked.or(cut.map(|cut| cut.mid_reso)).unwrap_or(1.125)
}

/// The middle of an image whose shorter side is resized to `mid_reso` times `side` before.
pub(crate) fn middle(
    picture: &RgbImage,
    side: usize,
    mid_reso: f64,
    path: &Path,
) -> Result<RgbImage, ImageError> {
    let spec = CropSpec { side, resize: mid_reso, crops: CropPositions::Center, flip: Flip::Never };
    let cut = spec.cut(picture, AugmentKey { seed: 0, epoch: 0, position: 0 });
    let fault = |fault| ImageError { path: path.to_path_buf(), fault };
    Ok(cut.map_err(fault)?.swap_remove(0))
}

/// Names of a model's `classes` by which folders `found` that are called by whole numbers, as those of
/// ImageNetV2 are, have the classes of these numbers; none if a folder is called otherwise.
///
/// In the order of their names class 2 would be the folder 10.
pub(crate) fn numbered(found: &[String], classes: usize) -> Option<Vec<String>> {
    let number = |name: &String| {
        let is_number = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| name.parse::<usize>().unwrap_or(usize::MAX))
    };
    let numbers: Vec<usize> = found.iter().map(number).collect::<Option<_>>()?;
    let mut names: Vec<String> = (0..classes).map(|class| class.to_string()).collect();
    // Folders may have leading zeros.
    for (name, number) in found.iter().zip(numbers).rev() {
        if let Some(of_class) = names.get_mut(number) {
            of_class.clone_from(name);
        }
    }
    (!found.is_empty()).then_some(names)
}

/// The line that says that folders called by numbers have other ones, as torchvision numbers them.
fn misnumbered(classes: &[String]) -> Option<String> {
    let by_number = numbered(classes, classes.len())?;
    let other = (0..classes.len()).find(|class| by_number[*class] != classes[*class])?;
    Some(format!(
        "folders are called by numbers, but numbered in the order of their names: class {other} is \
         called {}",
        classes[other]
    ))
}

/// Says which entries of a folder are not among its images, that classes called by numbers have other
/// ones, and warns of a folder too high up.
pub(crate) fn tell_left_out(folder: &Folder, session: &Session) {
    let left_out = folder.left_out();
    if !left_out.is_empty() {
        let line = format!("{}: left out: {left_out}", folder.path().display());
        if left_out.is_suspicious() { session.warn(&line) } else { session.note(&[line]) }
    }
    if let Some(line) = misnumbered(folder.classes()) {
        session.note(&[format!("{}: {line}", folder.path().display())]);
    }
    if let [class] = folder.classes() {
        let files = (0..folder.pictures()).map(|picture| folder.file(picture));
        let parents: BTreeSet<_> =
            files.filter_map(|file| file.parent().map(Path::to_path_buf)).collect();
        if parents.len() > 1 {
            let (path, folders) = (folder.path().join(class), parents.len());
            session.warn(&format!(
                "{}: one class, {class:?}, with images in {folders} folders: if those are the \
                 classes, give the folder that holds them",
                path.display()
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(of: &[&str]) -> Vec<String> {
        of.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn numbered_folders_are_the_classes_of_their_numbers() {
        let numbers = |of: &[&str], classes| numbered(&names(of), classes);
        assert_eq!(numbers(&["0", "1", "10", "2"], 11).unwrap()[..4], names(&["0", "1", "2", "3"]));
        assert_eq!(numbers(&["007", "2"], 8).unwrap()[7], "007");
        // A number that no class has is no name either, and refused as such.
        assert_eq!(numbers(&["0", "3"], 3), Some(names(&["0", "1", "2"])));
        assert_eq!(numbers(&["99999999999999999999999"], 1), Some(names(&["0"])));
        for others in [&["0", "cat"][..], &["-1"], &["1.5"], &[""], &[]] {
            assert_eq!(numbers(others, 3), None, "{others:?}");
        }
    }

    #[test]
    fn misnumbered_classes_are_told() {
        let mut classes: Vec<String> = (0..12).map(|class| class.to_string()).collect();
        assert_eq!(misnumbered(&classes), None);
        classes.sort();
        let line = misnumbered(&classes).unwrap();
        assert!(line.ends_with(": class 2 is called 10"), "{line}");
        assert_eq!(misnumbered(&names(&["ant", "bee"])), None);
    }
}
