//! A reader of JSON text without an allocator: as much as a safetensors header needs.
//!
//! Values are read in the order of the text; strings are compared and returned with their escapes.

/// Reads values one after another; `None` from any method means malformed text.
#[derive(Clone, Copy)]
pub(super) struct Json<'a> {
    text: &'a [u8],
    /// The text is itself inside a JSON string: quotes have a backslash before them.
    nested: bool,
}

impl<'a> Json<'a> {
    /// The value that `text` is.
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { text, nested: false }
    }

    /// The value in a string that this value is, as [`Json::string`] returned it.
    pub(super) fn nested(text: &'a [u8]) -> Self {
        Self { text, nested: true }
    }

    fn spaces(&mut self) {
        self.text = self.text.trim_ascii_start();
    }

    /// Reads the character `wanted` if it comes next.
    fn eat(&mut self, wanted: u8) -> bool {
        self.spaces();
        let rest = self.text.strip_prefix(&[wanted]);
        self.text = rest.unwrap_or(self.text);
        rest.is_some()
    }

    fn expect(&mut self, wanted: u8) -> Option<()> {
        self.eat(wanted).then_some(())
    }

    /// A string between its quotes, escapes as they are.
    pub(super) fn string(&mut self) -> Option<&'a [u8]> {
        self.spaces();
        let quote: &[u8] = if self.nested { b"\\\"" } else { b"\"" };
        let escape: &[u8] = if self.nested { b"\\\\" } else { b"\\" };
        let text = self.text.strip_prefix(quote)?;
        let mut at = 0;
        loop {
            let rest = text.get(at..)?;
            if rest.starts_with(quote) {
                self.text = &rest[quote.len()..];
                return Some(&text[..at]);
            }
            at += match rest.strip_prefix(escape) {
                // The escaped character: one of two bytes where this text is nested.
                Some(rest) => {
                    escape.len() + if self.nested && rest.starts_with(b"\\") { 2 } else { 1 }
                }
                None => 1,
            };
            if at > text.len() {
                return None;
            }
        }
    }

    /// An integer that is not negative.
    pub(super) fn integer(&mut self) -> Option<usize> {
        self.spaces();
        let digits = self.text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (number, rest) = self.text.split_at(digits);
        self.text = rest;
        core::str::from_utf8(number).ok()?.parse().ok()
    }

    /// A number.
    pub(super) fn number(&mut self) -> Option<f32> {
        let text = self.word()?;
        core::str::from_utf8(text).ok()?.parse().ok()
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self) -> Option<bool> {
        match self.word()? {
            b"true" => Some(true),
            b"false" => Some(false),
            _ => None,
        }
    }

    /// A number or a name, up to the next delimiter.
    fn word(&mut self) -> Option<&'a [u8]> {
        self.spaces();
        let ends = |byte: &u8| byte.is_ascii_whitespace() || b",]}\\\"".contains(byte);
        let length = self.text.iter().position(ends).unwrap_or(self.text.len());
        let (word, rest) = self.text.split_at(length);
        self.text = rest;
        (length > 0).then_some(word)
    }

    /// An array of integers into `out`; returns their number.
    pub(super) fn integers(&mut self, out: &mut [usize]) -> Option<usize> {
        let mut count = 0;
        self.expect(b'[')?;
        if self.eat(b']') {
            return Some(0);
        }
        loop {
            *out.get_mut(count)? = self.integer()?;
            count += 1;
            if !self.eat(b',') {
                self.expect(b']')?;
                return Some(count);
            }
        }
    }

    /// An object: `each` is called with every key and reads its value.
    pub(super) fn object(
        &mut self,
        each: &mut dyn FnMut(&'a [u8], &mut Self) -> Option<()>,
    ) -> Option<()> {
        self.expect(b'{')?;
        if self.eat(b'}') {
            return Some(());
        }
        loop {
            let key = self.string()?;
            self.expect(b':')?;
            each(key, self)?;
            if !self.eat(b',') {
                return self.expect(b'}');
            }
        }
    }

    /// Passes over a value.
    pub(super) fn skip(&mut self) -> Option<()> {
        self.spaces();
        // Depth as a count, not a recursion: the text may be hostile.
        let mut depth = 0_usize;
        loop {
            self.spaces();
            match self.text.first()? {
                b'{' | b'[' => {
                    depth += 1;
                    self.text = &self.text[1..];
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.text = &self.text[1..];
                }
                b',' | b':' if depth > 0 => {
                    self.text = &self.text[1..];
                    continue;
                }
                b'"' | b'\\' => drop(self.string()?),
                _ => drop(self.word()?),
            }
            if depth == 0 {
                return Some(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_in_order() {
        let mut json = Json::new(
            br#" { "a" : [1, 2,30] , "b":{"c":[{}, "x\"}", null]}, "d": true, "e":-2.5e1 } "#,
        );
        let (mut numbers, mut seen) = ([0; 3], 0);
        let read = json.object(&mut |key, value| {
            seen += 1;
            match key {
                b"a" => value.integers(&mut numbers).map(drop),
                b"d" => value.boolean().filter(|is| *is).map(drop),
                b"e" => value.number().filter(|number| *number == -25.0).map(drop),
                _ => value.skip(),
            }
        });
        assert_eq!((read, numbers, seen), (Some(()), [1, 2, 30], 4));
    }

    #[test]
    fn nested_text_has_escaped_quotes() {
        let mut outer = Json::new(br#""{\"a\":3,\"n\":[\"x\\\"y\",\"\\\\\"],\"b\":false}""#);
        let (mut a, mut b) = (0, true);
        Json::nested(outer.string().unwrap())
            .object(&mut |key, value| {
                match key {
                    b"a" => a = value.integer()?,
                    b"b" => b = value.boolean()?,
                    _ => value.skip()?,
                }
                Some(())
            })
            .unwrap();
        assert_eq!((a, b), (3, false));
    }

    #[test]
    fn malformed_text_is_none() {
        for text in [
            "",
            "{",
            "{\"a\"",
            "{\"a\":}",
            "{\"a\":1",
            "{\"a\":1,}",
            "[",
            "\"\\",
            "]",
            ",",
            "{1:2}",
        ] {
            let all = Json::new(text.as_bytes()).object(&mut |_, value| value.skip());
            assert_eq!(all, None, "{text}");
            if text != "{1:2}" && text != "{\"a\":1,}" && text != "{\"a\":}" {
                assert_eq!(Json::new(text.as_bytes()).skip(), None, "{text}");
            }
        }
        assert_eq!(Json::new(b"[1,2]").integers(&mut [0]), None, "more than there is room for");
        assert_eq!(Json::new(b"99999999999999999999999").integer(), None);
    }

    proptest::proptest! {
        #[test]
        fn any_text_ends_without_a_panic(text in proptest::collection::vec(
            proptest::sample::select(br#"{}[],:"\ 1ea"#.to_vec()), 0..40), nested: bool) {
            let mut json = Json { text: &text, nested };
            let _ = json.skip();
            let mut json = Json { text: &text, nested };
            let _ = json.object(&mut |_, value| value.skip());
        }
    }
}
