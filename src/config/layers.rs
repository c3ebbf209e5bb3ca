//! The layers of a configuration, in order of rising precedence: defaults, file, a document in the
//! environment, other variables, flags. Variables that are not only for offsite give way to the file.

use std::collections::BTreeMap;
use std::path::Path;

use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::media_backup::{self, Given, MediaBackup};
use super::problem::Problem;
use crate::store::url::StoreUrl;
use crate::text::redacted;

/// The defaults, a file like any other.
const DEFAULTS: &str = include_str!("defaults.yaml");

/// Variables whose names do not follow the rule, and the fields they set. They are those of the
/// Document Portal Backup Service, and of the Media Backup System the one that needs nothing besides.
const NAMED_VARIABLES: [(&str, &str); 3] = [
    ("BACKUP_MANIFEST", "backup.manifest_file"),
    ("LOG_LEVEL", "backup.log.level"),
    (media_backup::STORE, "backup.store"),
];

/// Holds a whole document, for where a variable is easier to have than a file: in a task definition.
pub const DOCUMENT_VARIABLE: &str = "BACKUP_CONFIG_YAML";

/// Variables of the AWS SDKs that name the address of stores, the one that counts first. A file that
/// names another one knows better.
const AWS_ENDPOINTS: [&str; 2] = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"];

/// `OFFSITE_S3__BUCKET` sets `backup.s3.bucket`, and so on.
const VARIABLE_PREFIX: &str = "OFFSITE_";

/// Settings from one place.
struct Layer {
    name: String,
    dict: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.dict.clone()))
    }
}

/// A value given by a flag.
#[derive(Debug, Clone)]
pub struct Flag {
    /// As it was typed, `--bucket`.
    pub name: &'static str,
    /// The field it sets.
    pub field: &'static str,
    /// Its value.
    pub value: Value,
}

impl Layer {
    fn of_variable(variable: &str, field: &str, value: Value) -> Self {
        Self {
            name: format!("environment variable {variable}"),
            dict: nested(field, value),
        }
    }
}

/// The layers, put together.
pub(super) struct Merged {
    pub(super) figment: Figment,
    /// The store that file and document name, whatever is named in its place.
    pub(super) written_store: Option<StoreUrl>,
    pub(super) problems: Vec<Problem>,
}

/// Puts the layers together. A file that cannot be read is a problem, and the rest goes on without
/// it.
pub(super) fn merge(
    file: Option<&Path>,
    environment: &BTreeMap<String, String>,
    media_backup: &mut MediaBackup,
    flags: &[Flag],
) -> Merged {
    let mut problems = Vec::new();
    let mut figment = Figment::new().merge(Layer {
        name: "default".to_owned(),
        dict: parse(DEFAULTS).unwrap_or_default(),
    });
    if let Some((variable, url)) = aws_endpoint(environment) {
        let url = Value::from(url);
        figment = figment.merge(Layer::of_variable(variable, "backup.s3.endpoint_url", url));
    }
    let file = file.map(|path| (path.display().to_string(), "(file)", read(path)));
    let document = document(environment).map(|text| {
        let name = format!("environment variable {DOCUMENT_VARIABLE}");
        (name, "(document)", parse_document(text))
    });
    for (name, whole, read) in [file, document].into_iter().flatten() {
        match read {
            Ok(dict) => figment = figment.merge(Layer { name, dict }),
            Err((message, hint)) => problems.push(Problem {
                origin: name,
                field: whole.to_owned(),
                message,
                hint: Some(hint.to_owned()),
            }),
        }
    }
    let written_store = store_in(&figment);
    if let Some(Given { variable, value }) = media_backup.copies.take() {
        if names_any(&figment, "backup.copies") {
            media_backup.refuse_copies();
        }
        figment = figment.merge(Layer::of_variable(variable, "backup.copies", value));
    }
    if figment.find_value("backup.defaults.retention").is_ok() {
        media_backup.leave_retention();
    }
    if let Some(Given { variable, value }) = media_backup.retention.take() {
        figment = figment.merge(Layer::of_variable(
            variable,
            "backup.defaults.retention",
            value,
        ));
    }
    for (variable, value) in environment {
        let named = NAMED_VARIABLES.iter().find(|(name, _)| name == variable);
        let field = match (named, variable.strip_prefix(VARIABLE_PREFIX)) {
            (Some((_, field)), _) => (*field).to_owned(),
            (None, Some(rest)) if is_about_a_service(rest) => continue,
            (None, Some(rest)) => {
                format!("backup.{}", rest.to_ascii_lowercase().replace("__", "."))
            }
            (None, None) => continue,
        };
        if value.is_empty() {
            continue;
        }
        let value = match variable.as_str() {
            media_backup::STORE => media_backup::store_in(value),
            _ => value.clone(),
        };
        figment = figment.merge(Layer::of_variable(variable, &field, Value::from(value)));
    }
    if let Some(Given { variable, value }) = media_backup.sources.take()
        && !names_any(&figment, "backup.sources")
        && !names_any(&figment, "backup.s3.include_dirs")
    {
        figment = figment.merge(Layer::of_variable(variable, "backup.sources", value));
    }
    for flag in flags {
        figment = figment.merge(Layer {
            name: format!("flag {}", flag.name),
            dict: nested(flag.field, flag.value.clone()),
        });
    }
    Merged {
        figment,
        written_store,
        problems,
    }
}

/// The store that settings name, if it is one.
fn store_in(figment: &Figment) -> Option<StoreUrl> {
    let text = |field| figment.find_value(field).ok()?.into_string();
    match text("backup.store") {
        Some(url) => url.parse().ok(),
        None => {
            let prefix = text("backup.s3.prefix").unwrap_or_default();
            StoreUrl::s3(&text("backup.s3.bucket")?, &prefix).ok()
        }
    }
}

/// Whether there is a list that has something in it.
fn names_any(figment: &Figment, field: &str) -> bool {
    match figment.find_value(field) {
        Ok(Value::Array(_, items)) => !items.is_empty(),
        Ok(Value::Empty(..)) | Err(_) => false,
        // Text with commas, or what will be refused.
        Ok(_) => true,
    }
}

/// Where the environment says that stores are, and which variable does.
pub(super) fn aws_endpoint(environment: &BTreeMap<String, String>) -> Option<(&'static str, &str)> {
    let url = |variable| Some((variable, environment.get(variable)?.as_str()));
    let mut urls = AWS_ENDPOINTS.into_iter().filter_map(url);
    urls.find(|(_, url)| !url.is_empty())
}

/// Whether Kubernetes has set `OFFSITE_<rest>`, as it does in every pod beside a service that is called
/// `offsite` (Kubernetes documentation, "Service", "Environment variables").
fn is_about_a_service(rest: &str) -> bool {
    let of_a_port = |rest: &str| {
        let (number, protocol) = rest.split_once('_').unwrap_or_default();
        let protocols = ["TCP", "UDP", "SCTP"];
        number.parse::<u16>().is_ok() && protocols.iter().any(|known| protocol.starts_with(known))
    };
    matches!(rest, "SERVICE_HOST" | "SERVICE_PORT" | "PORT")
        || rest.starts_with("SERVICE_PORT_")
        || rest.strip_prefix("PORT_").is_some_and(of_a_port)
}

/// The document in the environment, if there is one.
pub fn document(environment: &BTreeMap<String, String>) -> Option<&str> {
    let text = environment.get(DOCUMENT_VARIABLE)?;
    Some(text.as_str()).filter(|text| !text.trim().is_empty())
}

/// What is wrong with a document, and how to mend it.
type Unreadable = (String, &'static str);

fn read(path: &Path) -> Result<Dict, Unreadable> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let hint = "write one with `offsite init`, or name another with --config";
        (format!("cannot be read: {error}"), hint)
    })?;
    parse_document(&text)
}

fn parse_document(text: &str) -> Result<Dict, Unreadable> {
    parse(text).map_err(|error| {
        (
            format!("is not valid YAML: {}", redacted(&error.to_string())),
            "mind the indentation",
        )
    })
}

/// An empty file is an empty mapping, and what is wrong with one is said without quoting it: whoever
/// keeps events need not know what stands in it. `no`, `on` and `y` are texts, as in YAML 1.2: a bucket may well
/// be called so.
fn parse(text: &str) -> Result<Dict, serde_saphyr::Error> {
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    let dict: Option<Dict> = serde_saphyr::from_str_with_options(text, options)?;
    Ok(dict.unwrap_or_default())
}

fn nested(field: &str, value: Value) -> Dict {
    figment::util::nest(field, value)
        .into_dict()
        .unwrap_or_default()
}
