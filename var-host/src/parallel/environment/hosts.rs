//! SLURM's lists of machines.

/// The first machine of a list like `node[004-007,009],other1`: `node004`.
pub(super) fn first(list: &str) -> Option<String> {
    let mut name = String::new();
    let mut rest = list.trim();
    while let Some(character) = rest.chars().next() {
        match character {
            ',' => break,
            '[' => {
                let (numbers, after) = rest[1..].split_once(']')?;
                let number = numbers.split([',', '-']).next()?;
                if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
                    return None;
                }
                name.push_str(number);
                rest = after;
            }
            ']' => return None,
            _ => {
                name.push(character);
                rest = &rest[character.len_utf8()..];
            }
        }
    }
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_machine_is_found() {
        for (list, expected) in [
            ("node1", "node1"),
            ("node1,node2", "node1"),
            ("node[004-007,009],other1", "node004"),
            ("node[12]", "node12"),
            ("rack[2-3]node[05,07]", "rack2node05"),
            ("gpu[1-4]-ib,gpu9", "gpu1-ib"),
            (" a.example.org ", "a.example.org"),
        ] {
            assert_eq!(first(list).as_deref(), Some(expected), "{list}");
        }
        for list in ["", ",", "node[", "node[]", "node[a-b]", "node]", "[", "node[-1]"] {
            assert_eq!(first(list), None, "{list}");
        }
    }
}
