//! How names are written in listings.

use s3s::dto::EncodingType;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Plain,
    Url,
}

impl Encoding {
    pub(super) fn of(asked: Option<&EncodingType>) -> Self {
        let is_url = asked.is_some_and(|asked| asked.as_str() == EncodingType::URL);
        if is_url { Self::Url } else { Self::Plain }
    }

    pub(super) fn apply(self, name: &str) -> String {
        match self {
            Self::Plain => name.to_owned(),
            Self::Url => url_encode(name),
        }
    }

    pub(super) fn apply_to(self, name: Option<&String>) -> Option<String> {
        name.map(|name| self.apply(name))
    }
}

/// As S3 does it: slashes stay, a space becomes a plus sign.
fn url_encode(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' | b'/' => {
                text.push(char::from(byte));
            }
            b' ' => text.push('+'),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded_as_s3_does_it() {
        assert_eq!(url_encode("a b/ü+%&"), "a+b/%C3%BC%2B%25%26");
    }
}
