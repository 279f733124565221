//! Files of the page, embedded.

/// A file of the page.
pub(crate) struct Asset {
    /// Its path after the slash.
    pub(crate) name: &'static str,
    pub(crate) bytes: &'static [u8],
}

macro_rules! asset {
    ($name:literal) => {
        Asset { name: $name, bytes: include_bytes!(concat!("../page/", $name)) }
    };
}

/// Every file that is served; the first is the page itself, at `/`.
pub(crate) const ASSETS: &[Asset] = &[
    asset!("index.html"),
    asset!("about.mjs"),
    asset!("api.mjs"),
    asset!("appearance.mjs"),
    asset!("class_picker.mjs"),
    asset!("classes.mjs"),
    asset!("curl.mjs"),
    asset!("elements.mjs"),
    asset!("events.mjs"),
    asset!("files.mjs"),
    asset!("fit.mjs"),
    asset!("form.css"),
    asset!("form.mjs"),
    asset!("icons.svg"),
    asset!("layout.css"),
    asset!("main.mjs"),
    asset!("mark.svg"),
    asset!("mask.mjs"),
    asset!("mask_view.mjs"),
    asset!("old_browser.js"),
    asset!("own_image.mjs"),
    asset!("page.mjs"),
    asset!("painter.mjs"),
    asset!("parameters.mjs"),
    asset!("past.mjs"),
    asset!("png.mjs"),
    asset!("queue.mjs"),
    asset!("run.mjs"),
    asset!("scores.mjs"),
    asset!("settings.mjs"),
    asset!("stage.css"),
    asset!("stage.mjs"),
    asset!("strip.mjs"),
    asset!("tabs.mjs"),
    asset!("theme.css"),
    asset!("tokens.mjs"),
];

impl Asset {
    /// Its media type, told by the ending of its name.
    pub(crate) fn media_type(&self) -> &'static str {
        match self.name.rsplit_once('.').map(|(_, ending)| ending) {
            Some("html") => "text/html; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("js" | "mjs") => "text/javascript; charset=utf-8",
            Some("json") => "application/json",
            Some("svg") => "image/svg+xml",
            Some("png") => "image/png",
            Some("ico") => "image/x-icon",
            Some("woff2") => "font/woff2",
            _ => "application/octet-stream",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assets_have_media_types_and_names_of_their_own() {
        for (number, asset) in ASSETS.iter().enumerate() {
            assert_ne!(asset.media_type(), "application/octet-stream", "{}", asset.name);
            assert!(
                ASSETS[..number].iter().all(|other| other.name != asset.name),
                "{}",
                asset.name
            );
        }
        assert_eq!(ASSETS[0].name, "index.html");
    }

    #[test]
    fn assets_are_the_files_of_the_folder() {
        let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/page")).unwrap();
        let files = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let files: std::collections::BTreeSet<String> = files.collect();
        assert_eq!(files, ASSETS.iter().map(|asset| asset.name.to_owned()).collect());
    }
}
