//! Keys of archives, from a template with placeholders.

use crate::format::codec::Codec;
use crate::format::keys::{self, SourceName};
use crate::format::pass_id::PassId;

/// A key with `{placeholders}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyTemplate(String);

/// Every placeholder there is.
const PLACEHOLDERS: [&str; 12] = [
    "source",
    "session",
    "name",
    "year",
    "month",
    "day",
    "date",
    "time",
    "timestamp",
    "pass",
    "kind",
    "ext",
];

/// What the rest of the program keeps to itself.
const RESERVED: [&str; 7] = [
    keys::LOCK,
    keys::STATUS,
    keys::PASSES,
    keys::SNAPSHOTS,
    "manifests/",
    "files/",
    "copies/",
];

/// What placeholders stand for.
#[derive(Debug, Clone)]
pub struct Values<'a> {
    /// `{source}`
    pub source: &'a SourceName,
    /// `{pass}`, and its start as `{month}`, `{day}`, `{date}`, `{time}`, `{timestamp}`, in UTC.
    pub pass: PassId,
    /// `{session}`; the source's name where there are no sessions.
    pub session: &'a str,
    /// `{name}`, of a session's note; empty where there is none.
    pub name: &'a str,
    /// `{year}`: the session's, or the pass's.
    pub year: &'a str,
    /// `{kind}`: `full` or `incremental`.
    pub is_full: bool,
    /// `{ext}`
    pub codec: Codec,
}

impl KeyTemplate {
    /// Where archives go unless said otherwise.
    #[must_use]
    pub fn of_archives() -> Self {
        Self("archives/{source}/{year}/{source}_{timestamp}.{ext}".to_owned())
    }

    /// Where archives of sessions go unless said otherwise.
    #[must_use]
    pub fn of_sessions() -> Self {
        Self("raw/{year}/{session}.{ext}".to_owned())
    }

    /// Where notes of sessions go unless said otherwise.
    #[must_use]
    pub fn of_notes() -> Self {
        Self("sessions/{year}/{session}_{name}".to_owned())
    }

    /// Whether a placeholder is in it.
    #[must_use]
    pub fn has(&self, wanted: &str) -> bool {
        let is_wanted = |piece| matches!(piece, Piece::Placeholder(name) if name == wanted);
        self.pieces().any(is_wanted)
    }

    /// Checks a template.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            if before.contains('}') {
                return Err("has a `}` without its `{`".to_owned());
            }
            let Some((name, after)) = after.split_once('}') else {
                return Err("has a `{` without its `}`".to_owned());
            };
            if !PLACEHOLDERS.contains(&name) {
                let known = PLACEHOLDERS.join("}, {");
                return Err(format!("has `{{{name}}}`; there are {{{known}}}"));
            }
            rest = after;
        }
        if rest.contains('}') {
            return Err("has a `}` without its `{`".to_owned());
        }
        if text.is_empty() || text.starts_with('/') || text.ends_with('/') {
            return Err("must be a key: not empty, without a slash at either end".to_owned());
        }
        if text.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(
                "has an empty component, `.` or `..`, which tools take for a path".to_owned(),
            );
        }
        if text.len() > keys::CONTENT_KEY_MAX_BYTES {
            let most = keys::CONTENT_KEY_MAX_BYTES;
            return Err(format!("is longer than {most} bytes"));
        }
        if let Some(taken) = RESERVED.iter().find(|taken| text.starts_with(**taken)) {
            return Err(format!(
                "starts with `{taken}`, which offsite keeps to itself"
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// The key for these values.
    #[must_use]
    pub fn key(&self, values: &Values<'_>) -> String {
        let pass = values.pass.to_string();
        // A pass begins with its time: 20251227T020000Z-7f3a.
        let (date, time) = (&pass[..8], &pass[9..15]);
        let timestamp = format!("{date}_{time}");
        let value = |name: &str| match name {
            "source" => values.source.as_str(),
            "session" => values.session,
            "name" => values.name,
            "year" => values.year,
            "month" => &date[4..6],
            "day" => &date[6..8],
            "date" => date,
            "time" => time,
            "timestamp" => &timestamp,
            "pass" => &pass,
            "kind" if values.is_full => "full",
            "kind" => "incremental",
            _ => values.codec.extension(),
        };
        let mut key = String::new();
        for piece in self.pieces() {
            key.push_str(match piece {
                Piece::Text(text) => text,
                Piece::Placeholder(name) => value(name),
            });
        }
        key
    }

    /// The folder that all keys of this source are in, also those taken instead of another one; empty
    /// for the whole store.
    #[must_use]
    pub fn folder(&self, source: &SourceName) -> String {
        let mut prefix = String::new();
        for piece in self.pieces() {
            match piece {
                Piece::Text(text) => prefix.push_str(text),
                Piece::Placeholder("source") => prefix.push_str(source.as_str()),
                Piece::Placeholder(_) => break,
            }
        }
        prefix.truncate(prefix.rfind('/').map_or(0, |slash| slash + 1));
        prefix
    }

    /// Whether a key can have come from this template, for this source, also where it was taken and
    /// another one of its [`candidates`] has its place.
    #[must_use]
    pub fn matches(&self, source: &SourceName, key: &str) -> bool {
        let pieces: Vec<_> = self.pieces().collect();
        let plain = without_pass(key);
        let mut keys = plain.as_deref().into_iter().chain([key]);
        keys.any(|key| matches_from(&pieces, source, key))
    }

    fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        let mut rest = self.0.as_str();
        std::iter::from_fn(move || {
            let end = rest.find(['{', '}']).unwrap_or(rest.len());
            let (piece, after) = match rest.strip_prefix('{') {
                Some(inside) => {
                    let (name, after) = inside.split_once('}')?;
                    (Piece::Placeholder(name), after)
                }
                None if rest.is_empty() => return None,
                None => (Piece::Text(&rest[..end]), &rest[end..]),
            };
            rest = after;
            Some(piece)
        })
    }
}

enum Piece<'a> {
    Text(&'a str),
    Placeholder(&'a str),
}

fn matches_from(pieces: &[Piece<'_>], source: &SourceName, key: &str) -> bool {
    let Some((first, rest)) = pieces.split_first() else {
        return key.is_empty();
    };
    let literal = match first {
        Piece::Text(text) => text,
        Piece::Placeholder("source") => source.as_str(),
        Piece::Placeholder("ext") => {
            let mut left = EXTENSIONS.iter().filter_map(|ext| key.strip_prefix(*ext));
            return left.any(|left| matches_from(rest, source, left));
        }
        // What any other stands for is not empty and has no slash.
        Piece::Placeholder(_) => {
            let most = key.find('/').unwrap_or(key.len());
            let mut ends = (1..=most).filter(|at| key.is_char_boundary(*at));
            return ends.any(|at| matches_from(rest, source, &key[at..]));
        }
    };
    key.strip_prefix(literal)
        .is_some_and(|key| matches_from(rest, source, key))
}

const EXTENSIONS: [&str; 3] = [
    Codec::Gzip.extension(),
    Codec::Zstd.extension(),
    Codec::None.extension(),
];

/// The key that another one was made from because it was taken, if it was.
fn without_pass(key: &str) -> Option<String> {
    let dotted = EXTENSIONS.map(|ext| format!(".{ext}"));
    let extension = dotted.iter().find(|ext| key.ends_with(ext.as_str()));
    let extension = extension.map_or("", String::as_str);
    let (stem, added) = key.strip_suffix(extension)?.rsplit_once('_')?;
    let is_pass = |text: &str| text.parse::<PassId>().is_ok();
    let is_numbered = |text: &str| {
        let numbered = text.rsplit_once('-');
        numbered.is_some_and(|(pass, number)| is_pass(pass) && number.parse::<u32>().is_ok())
    };
    (is_pass(added) || is_numbered(added)).then(|| format!("{stem}{extension}"))
}

/// Keys that are looked at before a pass gives up. No more sources and sessions than that want one key.
const MOST_CANDIDATES: u32 = 100;

/// A key, and those to take in turn where it is taken: the pass stands before what the name ends in,
/// and after it a number where several in one pass want the same.
pub fn candidates(key: &str, ending: &str, pass: PassId) -> impl Iterator<Item = String> {
    let (stem, ending) = match key.strip_suffix(ending) {
        Some(stem) => (stem.to_owned(), ending.to_owned()),
        None => (key.to_owned(), String::new()),
    };
    let key = key.to_owned();
    (0..MOST_CANDIDATES).map(move |number| match number {
        0 => key.clone(),
        1 => format!("{stem}_{pass}{ending}"),
        number => format!("{stem}_{pass}-{number}{ending}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_in() {
        let source = SourceName::parse("media").unwrap();
        let values = Values {
            source: &source,
            pass: "20251227T020304Z-7f3a".parse().unwrap(),
            session: "M31_2024-01-02",
            name: "",
            year: "2024",
            is_full: true,
            codec: Codec::Gzip,
        };
        let key = |template: &str| KeyTemplate::parse(template).unwrap().key(&values);
        assert_eq!(
            KeyTemplate::of_archives().key(&values),
            "archives/media/2024/media_20251227_020304.tar.gz"
        );
        assert_eq!(
            KeyTemplate::of_sessions().key(&values),
            "raw/2024/M31_2024-01-02.tar.gz"
        );
        assert_eq!(
            key("a/{kind}/{month}/{day}/{pass}"),
            "a/full/12/27/20251227T020304Z-7f3a"
        );
        let taken = candidates("raw/2024/x.tar.gz", ".tar.gz", values.pass);
        assert_eq!(
            taken.take(3).collect::<Vec<_>>(),
            [
                "raw/2024/x.tar.gz",
                "raw/2024/x_20251227T020304Z-7f3a.tar.gz",
                "raw/2024/x_20251227T020304Z-7f3a-2.tar.gz"
            ]
        );
    }

    #[test]
    fn own_keys_are_recognised() {
        let source = SourceName::parse("media").unwrap();
        let archives = KeyTemplate::of_archives();
        assert_eq!(archives.folder(&source), "archives/media/");
        let folder = |text| KeyTemplate::parse(text).unwrap().folder(&source);
        assert_eq!(folder("backups/latest.{ext}"), "backups/");
        assert_eq!(folder("{source}.{ext}"), "");
        let own = "archives/media/2024/media_20251227_020304.tar.gz";
        assert!(archives.matches(&source, own));
        assert!(archives.matches(&source, &own.replace(".tar", "_20251227T020304Z-7f3a.tar")));
        assert!(archives.matches(
            &source,
            &own.replace(".tar", "_20251227T020304Z-7f3a-2.tar")
        ));
        assert!(!archives.matches(&source, &own.replace("archives/media", "archives/other")));
        assert!(!archives.matches(&source, "archives/media/2024/"));
        let sessions = KeyTemplate::of_sessions();
        assert!(sessions.matches(&source, "raw/2024/M31.tar"));
        assert!(!sessions.matches(&source, "raw/M31.tar"));
        assert!(!sessions.matches(&source, "raw/2024/M31/other.tar"));
        assert!(!sessions.matches(&source, "raw/2024/film.mp4"));
        let fixed = KeyTemplate::parse("mine/{source}.{ext}").unwrap();
        assert!(fixed.matches(&source, "mine/media.tar.zst"));
        assert!(fixed.matches(&source, "mine/media_20251227T020304Z-7f3a.tar.zst"));
        assert!(fixed.matches(&source, "mine/media_20251227T020304Z-7f3a-12.tar.zst"));
        assert!(!fixed.matches(&source, "mine/media_20251227T020304Z-7f3a-x.tar.zst"));
        assert!(!fixed.matches(&source, "mine/media_holiday.tar.zst"));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for (template, complaint) in [
            ("a/{yaer}.tar", "`{yaer}`; there are"),
            ("a/{year.tar", "without its"),
            ("/a", "slash"),
            ("", "not empty"),
            ("a/../{pass}", "`..`"),
            ("a//{pass}", "empty component"),
            ("./{pass}", "`.`"),
            (&"a".repeat(901), "longer than 900 bytes"),
            ("snapshots/{pass}", "keeps to itself"),
        ] {
            let error = KeyTemplate::parse(template).unwrap_err();
            assert!(error.contains(complaint), "{template}: {error}");
        }
    }
}
