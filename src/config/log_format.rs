//! How events are written, as the configuration says it.

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// JSON, unless standard output is a terminal.
    Auto,
    /// One JSON object a line, on standard output.
    Json,
    /// Text, on standard error.
    Text,
}

impl std::str::FromStr for LogFormat {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "auto" => Ok(Self::Auto),
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            _ => Err("one of auto, json, text"),
        }
    }
}
