//! Where a listing begins and where it ends, so that its first page has the key that is needed next.

/// Components of a key that a listing goes through together: `files/<source>/<pass>/`.
const COMPONENTS: usize = 3;

/// The folder that a key is listed in. The keys of a folder are next to one another in any listing.
pub(super) fn folder(key: &str) -> &str {
    let ends = key.match_indices('/').take(COMPONENTS);
    let end = ends.last().map_or(0, |(at, _)| at + 1);
    &key[..end]
}

/// A text that sorts before `key`, with hardly any other key in between. S3 lists what comes after a text.
pub(super) fn just_before(key: &str) -> String {
    let mut chars = key.chars();
    let last = chars.next_back();
    let mut before = chars.as_str().to_owned();
    if let Some(previous) = last.and_then(previous) {
        before.push(previous);
        // Sorts after almost everything that can follow in a key.
        before.push('~');
    }
    before
}

/// The character before another one, where a URL and XML can carry it.
fn previous(c: char) -> Option<char> {
    let previous = match c {
        '\u{e000}' => '\u{d7ff}',
        c => char::from_u32(u32::from(c).checked_sub(1)?)?,
    };
    let is_plain = !previous.is_control() && !matches!(previous, '\u{fffe}' | '\u{ffff}');
    is_plain.then_some(previous)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_what_one_pass_has_captured_of_a_source() {
        let pass = "files/data/20251227T020000Z-7f3a/";
        assert_eq!(folder(&format!("{pass}a/b/c")), pass);
        assert_eq!(folder("raw/2020/M31.tar"), "raw/2020/");
        assert_eq!(folder("archive.tar"), "");
    }

    #[test]
    fn what_is_just_before_a_key_sorts_before_it_and_after_its_neighbours() {
        for (key, neighbour) in [
            ("p/b", "p/a"),
            ("p/b", "p/azzz"),
            ("p/file-10", "p/file-0999"),
            ("p/日", "p/a"),
            ("p/\u{e000}", "p/a"),
            ("p/\u{10000}", "p/"),
            ("p/ ", "p/"),
        ] {
            let before = just_before(key);
            assert!(*before < *key, "{before:?} and {key:?}");
            assert!(*before >= *neighbour, "{neighbour:?} and {before:?}");
        }
    }
}
