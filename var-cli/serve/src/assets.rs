//! Files of the page, embedded.

/// A file of the page.
pub(crate) struct Asset {
    /// Its path after the slash.
    pub(crate) name: &'static str,
    pub(crate) bytes: &'static [u8],
}

/// Every file that is served; the first is the page itself, at `/`.
pub(crate) const ASSETS: &[Asset] =
    &[Asset { name: "index.html", bytes: include_bytes!("../page/index.html") }];

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
}
