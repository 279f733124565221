use std::fs;

use super::*;

/// A folder with these files, empty.
fn with_files(files: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in files {
        let path = folder.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    folder
}

fn fault(result: Result<Folder, DataError>, folder: &tempfile::TempDir) -> String {
    result.unwrap_err().to_string().replace(folder.path().to_str().unwrap(), "DATA")
}

fn listed(pictures: &Folder) -> Vec<(u32, String)> {
    let of = |n| (pictures.label(n), pictures.file(n).to_str().unwrap().to_owned());
    (0..pictures.pictures()).map(of).collect()
}

fn expected(files: &[(u32, &str)]) -> Vec<(u32, String)> {
    files.iter().map(|(label, file)| (*label, (*file).to_owned())).collect()
}

#[test]
fn pictures_are_numbered_class_by_class() {
    let folder = with_files(&[
        "dog/b.JPEG",
        "dog/a.webp",
        "dog/.hidden.png",
        "dog/c.bmp",
        "dog/d.TIFF",
        "dog/notes.txt",
        "dog/png",
        "cat/z.png",
        ".git/x.png",
        "top.png",
    ]);
    fs::create_dir(folder.path().join("cat/folder.png")).unwrap();
    let pictures = Folder::open(folder.path()).unwrap();
    assert_eq!(pictures.classes(), ["cat", "dog"]);
    // D03: other formats than PNG, JPEG and WebP are images too.
    let files = [
        (0, "cat/z.png"),
        (1, "dog/a.webp"),
        (1, "dog/b.JPEG"),
        (1, "dog/c.bmp"),
        (1, "dog/d.TIFF"),
    ];
    assert_eq!(listed(&pictures), expected(&files));
    let text = "folders without images, no classes: .git; 1 image in no class's folder; \
                2 files of other kinds (1 without an ending, 1 .txt); 1 hidden";
    assert_eq!(pictures.left_out().to_string(), text);
}

/// D01: the layout of tiny-imagenet, and a class with images at two depths.
#[test]
fn folders_below_a_class_are_walked_in_the_order_of_torchvision() {
    let folder = with_files(&[
        "n01/images/n01_1.JPEG",
        "n01/images/n01_0.JPEG",
        "n01/n01_boxes.txt",
        "n02/images/n02_0.JPEG",
        "n02/a/x.png",
        "n02/a b/y.png",
        "n02/a/c/z.png",
        "n02/z.png",
    ]);
    let pictures = Folder::open(folder.path()).unwrap();
    assert_eq!(pictures.classes(), ["n01", "n02"]);
    // `sorted(os.walk(class))`: a space sorts before a slash.
    let files = [
        (0, "n01/images/n01_0.JPEG"),
        (0, "n01/images/n01_1.JPEG"),
        (1, "n02/z.png"),
        (1, "n02/a/x.png"),
        (1, "n02/a b/y.png"),
        (1, "n02/a/c/z.png"),
        (1, "n02/images/n02_0.JPEG"),
    ];
    assert_eq!(listed(&pictures), expected(&files));
    let text = "1 file of other kinds (1 .txt)";
    assert_eq!(pictures.left_out().to_string(), text);
}

/// D02b: folders of systems and empty ones are no classes, in training and in validation.
#[test]
fn folders_without_pictures_are_no_classes() {
    let more = [
        "cat/1.png",
        "cat/@eaDir/1.png/SYNOPHOTO_THUMB_M.jpg",
        "cat/.ipynb_checkpoints/1-checkpoint.png",
        "cat/Thumbs.db",
        "cat/._1.jpg",
        "dog/1.png",
        "__MACOSX/cat/1.png",
        "@eaDir/1.jpg",
        ".git/x.png",
        "bird/notes.txt",
        "bird/deep/.x.png",
    ];
    let train = with_files(&more);
    let pictures = Folder::open(train.path()).unwrap();
    assert_eq!(listed(&pictures), expected(&[(0, "cat/1.png"), (1, "dog/1.png")]));
    let text = "folders without images, no classes: .git, @eaDir, __MACOSX, bird; \
                2 files of other kinds (1 .db, 1 .txt); 4 hidden";
    assert_eq!(pictures.left_out().to_string(), text);
    assert_eq!(class_names(train.path()).unwrap(), ["cat", "dog"]);
    // The same folders beside the classes to validate on; one class is empty there.
    let val = with_files(&[&more[..5], &more[6..], &["dog/none.txt"]].concat());
    let classes = pictures.classes();
    let pictures = Folder::open_with_classes(val.path(), classes).unwrap();
    assert_eq!(listed(&pictures), expected(&[(0, "cat/1.png")]));
    assert_eq!(pictures.left_out().folders, [".git", "@eaDir", "__MACOSX", "bird"]);
    // Empty in training, but not in validation: that class is unknown.
    let other = with_files(&["cat/1.png", "bird/1.png"]);
    let message = "DATA: no class is called \"bird\", the 2 classes are others";
    assert_eq!(fault(Folder::open_with_classes(other.path(), classes), &other), message);
}

#[test]
fn pictures_are_found_at_any_depth() {
    let folder =
        with_files(&["b.png", "a/2.jpg", "a/1.webp", "a/c/x.PNG", "a.png", ".d/y.png", "z.txt"]);
    let expected = ["a.png", "a/1.webp", "a/2.jpg", "a/c/x.PNG", "b.png"].map(PathBuf::from);
    assert_eq!(image_files(folder.path()).unwrap(), expected);
}

#[test]
fn validation_has_the_numbers_of_training() {
    let train = with_files(&["ant/1.png", "bee/1.png", "cat/1.png"]);
    let train = Folder::open(train.path()).unwrap();
    let val = with_files(&["bee/3.png", "cat/3.png", "cat/4.png"]);
    let pictures = Folder::open_with_classes(val.path(), train.classes()).unwrap();
    assert_eq!(pictures.classes(), train.classes());
    assert_eq!([0, 1, 2].map(|n| pictures.label(n)), [1, 2, 2]);

    let other = with_files(&["bee/3.png", "bees/3.png"]);
    assert_eq!(
        fault(Folder::open_with_classes(other.path(), train.classes()), &other),
        "DATA: no class is called \"bees\", the 3 classes are others; near it: \"bee\""
    );
}

/// D04: a name with an accent as one character, as macOS unpacks it in two, is one name.
#[test]
fn composed_and_decomposed_accents_are_one_name() {
    let val = with_files(&["cafe\u{301}/1.png", "tea/1.png"]);
    let names = ["caf\u{e9}", "tea"].map(str::to_owned);
    let pictures = Folder::open_with_classes(val.path(), &names).unwrap();
    assert_eq!(listed(&pictures), expected(&[(0, "cafe\u{301}/1.png"), (1, "tea/1.png")]));
    let twice = with_files(&["cafe\u{301}/1.png", "caf\u{e9}/1.png"]);
    let message = fault(Folder::open_with_classes(twice.path(), &names), &twice);
    assert!(message.starts_with("DATA: two folders are the class"), "{message}");
}

#[test]
fn name_of_two_classes_is_refused() {
    let val = with_files(&["crane/1.png", "tea/1.png"]);
    let names = ["crane", "tea", "crane"].map(str::to_owned);
    let message = fault(Folder::open_with_classes(val.path(), &names), &val);
    assert_eq!(message, "DATA: the classes 0, 2 are all called \"crane\"");
    // Nothing is to be told apart where no folder is called so.
    let val = with_files(&["tea/1.png"]);
    let pictures = Folder::open_with_classes(val.path(), &names).unwrap();
    assert_eq!(listed(&pictures), expected(&[(1, "tea/1.png")]));
}

#[test]
fn folders_that_are_none_are_refused() {
    let folder = with_files(&["file.png", "empty/a.txt", "empty/b/c.gif2"]);
    let empty = folder.path().join("empty");
    let fault = |path: &Path| fault(Folder::open(path), &folder);
    assert_eq!(fault(&folder.path().join("none")), "cannot read the folder DATA/none");
    assert_eq!(fault(&folder.path().join("file.png")), "cannot read the folder DATA/file.png");
    let message = "DATA: no images (png, jpg, jpeg, webp, bmp, gif, tif, tiff, ppm, pgm, pbm, pnm) \
                   in its 1 class";
    assert_eq!(fault(folder.path()), message);
    assert_eq!(fault(&empty.join("b")), "DATA/empty/b: wants a folder for each class, has none");
}

#[cfg(unix)]
#[test]
fn links_are_followed_but_not_in_circles() {
    use std::os::unix::fs::symlink;

    let folder = with_files(&["data/cat/a.png", "elsewhere.png", "pool/p.png", "other/o.png"]);
    let path = |name: &str| folder.path().join(name);
    let link = |to: &str, name: &str| symlink(path(to), path(name)).unwrap();
    link("elsewhere.png", "data/cat/b.png");
    link("nowhere.png", "data/cat/c.png");
    link("pool", "data/cat/more");
    link("data/cat", "data/dog");
    // To itself, to the folder above the class, and there and back again.
    link("data/cat", "data/cat/self");
    symlink("..", path("data/cat/up")).unwrap();
    link("other", "pool/there");
    link("pool", "other/back");
    let pictures = Folder::open(&path("data")).unwrap();
    assert_eq!(pictures.classes(), ["cat", "dog"]);
    let of = |label: u32, class: &str| {
        let names = ["a.png", "b.png", "c.png", "more/p.png", "more/there/o.png"];
        names.map(|name| (label, format!("{class}/{name}")))
    };
    assert_eq!(listed(&pictures), [of(0, "cat"), of(1, "dog")].concat());
    assert_eq!(pictures.left_out().cycles, 6);
}

#[cfg(target_os = "linux")]
#[test]
fn names_that_are_not_unicode_are_told() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let folder = with_files(&["cat/a.png"]);
    let name = |bytes| folder.path().join("cat").join(OsStr::from_bytes(bytes));
    fs::write(name(b"\xff.txt"), "").unwrap();
    Folder::open(folder.path()).unwrap();
    fs::write(name(b"\xff.png"), "").unwrap();
    assert!(fault(Folder::open(folder.path()), &folder).ends_with(": the name is not Unicode"));
}
