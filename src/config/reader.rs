//! Reading merged settings one by one, and collecting everything that is wrong with them.
//!
//! Every setting is asked for by name in one place, [`settings`](super::settings), so what is never
//! asked for is unknown, and each one's origin can be told.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use figment::Figment;
use figment::value::{Dict, Tag, Value};

use super::problem::Problem;
use super::value::{FromValue, show};
use crate::text::redacted;

/// A setting and where it comes from.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Shown {
    /// The field.
    pub field: String,
    /// Its value.
    pub value: serde_json::Value,
    /// The layer that set it.
    pub origin: String,
}

/// What is found on the way.
pub(super) struct Findings {
    figment: Figment,
    problems: RefCell<Vec<Problem>>,
    shown: RefCell<Vec<Shown>>,
}

impl Findings {
    pub(super) fn new(figment: Figment) -> Self {
        Self {
            figment,
            problems: RefCell::default(),
            shown: RefCell::default(),
        }
    }

    pub(super) fn into_parts(self) -> (Vec<Problem>, Vec<Shown>) {
        (self.problems.into_inner(), self.shown.into_inner())
    }

    fn origin(&self, tag: Tag) -> String {
        match self.figment.get_metadata(tag) {
            Some(metadata) => metadata.name.to_string(),
            None => "configuration".to_owned(),
        }
    }

    /// Whether a value was given by a flag.
    pub(super) fn is_flag(&self, tag: Tag) -> bool {
        self.origin(tag).starts_with("flag ")
    }

    /// How late a value's layer comes: a default, a file, the environment, a flag.
    pub(super) fn layer(&self, tag: Tag) -> u8 {
        match self.origin(tag).as_str() {
            "default" => 0,
            origin if origin.starts_with("flag ") => 3,
            origin if origin.starts_with("environment variable ") => 2,
            _ => 1,
        }
    }

    pub(super) fn problem(&self, tag: Tag, field: &str, message: String, hint: Option<String>) {
        self.problems.borrow_mut().push(Problem {
            origin: self.origin(tag),
            field: field.to_owned(),
            message,
            hint,
        });
    }
}

/// A mapping in the configuration.
pub(super) struct Section<'a> {
    findings: &'a Findings,
    path: String,
    dict: Dict,
    tag: Tag,
    asked: BTreeSet<String>,
    /// Settings that somebody may look for here, and where they are.
    elsewhere: (BTreeSet<String>, &'static str),
}

/// A setting with the place it stands at, for problems that only show later.
#[derive(Debug, Clone)]
pub(super) struct Placed<T> {
    pub(super) value: T,
    pub(super) tag: Tag,
    pub(super) field: String,
}

impl<'a> Section<'a> {
    pub(super) fn root(findings: &'a Findings, dict: Dict) -> Self {
        Self {
            findings,
            path: String::new(),
            dict,
            tag: Tag::Default,
            asked: BTreeSet::new(),
            elsewhere: Default::default(),
        }
    }

    fn field(&self, key: &str) -> String {
        match self.path.as_str() {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        }
    }

    fn find(&mut self, key: &str) -> Option<Value> {
        self.asked.insert(key.to_owned());
        self.dict.get(key).filter(|value| !is_null(value)).cloned()
    }

    /// Where in the configuration this is.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// A setting, with its place.
    pub(super) fn placed<T: FromValue>(&mut self, key: &str) -> Option<Placed<T>> {
        let value = self.find(key)?;
        let (field, tag) = (self.field(key), value.tag());
        match T::from_value(&value) {
            Ok(read) => {
                self.findings.shown.borrow_mut().push(Shown {
                    field: field.clone(),
                    value: show(&value),
                    origin: self.findings.origin(tag),
                });
                Some(Placed {
                    value: read,
                    tag,
                    field,
                })
            }
            Err(expected) => {
                let message = format!("must be {expected}, not {}", show(&value));
                self.findings.problem(tag, &field, message, None);
                None
            }
        }
    }

    /// A setting.
    pub(super) fn get<T: FromValue>(&mut self, key: &str) -> Option<T> {
        self.placed(key).map(|placed| placed.value)
    }

    /// A setting that is made from text, by a parser that says what it expects.
    pub(super) fn parse<T, E: std::fmt::Display>(
        &mut self,
        key: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        let placed = self.placed::<String>(key)?;
        match parse(&placed.value) {
            Ok(parsed) => Some(parsed),
            Err(expected) => {
                let found = redacted(&placed.value);
                let message = format!("must be {expected}, not {found:?}");
                self.findings
                    .problem(placed.tag, &placed.field, message, None);
                None
            }
        }
    }

    /// Whether there is anything under a key.
    pub(super) fn has(&mut self, key: &str) -> bool {
        self.find(key).is_some()
    }

    /// What can be a word as well as a mapping, if it is a word.
    pub(super) fn word(&mut self, key: &str) -> Option<Placed<String>> {
        match self.find(key) {
            Some(Value::String(..)) => self.placed(key),
            _ => None,
        }
    }

    /// Whether something is wrong with what is in it.
    pub(super) fn has_problems(&self) -> bool {
        let within = format!("{}.", self.path);
        let problems = self.findings.problems.borrow();
        problems
            .iter()
            .any(|problem| problem.field.starts_with(&within))
    }

    /// A mapping below this one; an empty one where there is none.
    pub(super) fn section(&mut self, key: &str) -> Section<'a> {
        let path = self.field(key);
        let (dict, tag) = match self.find(key) {
            Some(Value::Dict(tag, dict)) => (dict, tag),
            Some(other) => {
                let message = format!("must be a mapping, not {}", show(&other));
                self.findings.problem(other.tag(), &path, message, None);
                (Dict::new(), other.tag())
            }
            None => (Dict::new(), Tag::Default),
        };
        Section {
            findings: self.findings,
            path,
            dict,
            tag,
            asked: BTreeSet::new(),
            elsewhere: Default::default(),
        }
    }

    /// All there is in a mapping of numbers, whatever the keys.
    pub(super) fn numbers(mut self) -> BTreeMap<String, f64> {
        let keys: Vec<String> = self.dict.keys().cloned().collect();
        let number = |key: String| Some((key.clone(), self.get(&key)?));
        keys.into_iter().filter_map(number).collect()
    }

    /// All there is in a mapping of lists, whatever the keys, in order of those.
    pub(super) fn lists(mut self) -> Vec<(String, Placed<Vec<String>>)> {
        let keys: Vec<String> = self.dict.keys().cloned().collect();
        let list = |key: String| Some((key.clone(), self.placed(&key)?));
        keys.into_iter().filter_map(list).collect()
    }

    /// The mappings of a list.
    pub(super) fn list(&mut self, key: &str) -> Vec<Section<'a>> {
        let path = self.field(key);
        let items = match self.find(key) {
            Some(Value::Array(_, items)) => items,
            Some(other) => {
                let message = format!("must be a list, not {}", show(&other));
                self.findings.problem(other.tag(), &path, message, None);
                Vec::new()
            }
            None => Vec::new(),
        };
        let mut sections = Vec::new();
        for (index, item) in items.into_iter().enumerate() {
            let path = format!("{path}[{index}]");
            match item {
                Value::Dict(tag, dict) => sections.push(Section {
                    findings: self.findings,
                    path,
                    dict,
                    tag,
                    asked: BTreeSet::new(),
                    elsewhere: Default::default(),
                }),
                other => {
                    let message = format!("must be a mapping, not {}", show(&other));
                    self.findings.problem(other.tag(), &path, message, None);
                }
            }
        }
        sections
    }

    /// Something is wrong with the section as a whole, or with a key that is not there.
    pub(super) fn complain(&self, key: &str, message: &str, hint: &str) {
        let field = match key {
            "" => self.path.clone(),
            key => self.field(key),
        };
        let hint = Some(hint.to_owned());
        self.findings
            .problem(self.tag, &field, message.to_owned(), hint);
    }

    /// That these settings, which somebody may look for here, are where `hint` says.
    pub(super) fn point_to(&mut self, settings: BTreeSet<String>, hint: &'static str) {
        self.elsewhere = (settings, hint);
    }

    /// Whatever has not been asked for by now is unknown. What has been is given back.
    pub(super) fn finish(self) -> BTreeSet<String> {
        for (key, value) in &self.dict {
            if self.asked.contains(key) {
                continue;
            }
            let hint = self.closest(key);
            let message = "is not a setting".to_owned();
            self.findings
                .problem(value.tag(), &self.field(key), message, Some(hint));
        }
        self.asked
    }

    fn closest(&self, key: &str) -> String {
        let (settings, hint) = &self.elsewhere;
        if settings.contains(key) {
            return (*hint).to_owned();
        }
        let likeness = |known: &String| strsim::jaro_winkler(known, key);
        let alike = |a: &&String, b: &&String| likeness(a).total_cmp(&likeness(b));
        match self.asked.iter().max_by(alike) {
            Some(known) if likeness(known) > 0.8 => format!("did you mean `{known}`?"),
            _ => format!(
                "known here: {}",
                self.asked.iter().cloned().collect::<Vec<_>>().join(", ")
            ),
        }
    }
}

fn is_null(value: &Value) -> bool {
    matches!(value, Value::Empty(..))
}

/// Reports a value that will not do.
pub(super) fn complain<T>(findings: &Findings, placed: &Placed<T>, message: &str, hint: &str) {
    let hint = Some(hint.to_owned());
    findings.problem(placed.tag, &placed.field, message.to_owned(), hint);
}
