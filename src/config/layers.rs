//! The layers of a configuration, in order of rising precedence: defaults, file, environment, flags.

use std::collections::BTreeMap;
use std::path::Path;

use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::problem::Problem;

/// The defaults, a file like any other.
const DEFAULTS: &str = include_str!("defaults.yaml");

/// Variables whose names do not follow the rule, and the fields they set. They are those of the
/// Document Portal Backup Service.
pub const NAMED_VARIABLES: [(&str, &str); 2] = [
    ("BACKUP_MANIFEST", "backup.manifest_file"),
    ("LOG_LEVEL", "backup.log.level"),
];

/// A variable that holds a whole configuration, for where there is no place for a file.
const WHOLE: &str = "BACKUP_CONFIG_YAML";

/// Variables of the AWS SDKs that name the store's address, the one that counts last. A file that
/// names another one knows better.
const AWS_ENDPOINTS: [&str; 2] = ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"];

/// `OFFSITE_S3__BUCKET` sets `backup.s3.bucket`, and so on.
pub const VARIABLE_PREFIX: &str = "OFFSITE_";

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

/// Puts the layers together. A file that cannot be read is a problem, and the rest goes on without
/// it.
pub(super) fn merge(
    file: Option<&Path>,
    environment: &BTreeMap<String, String>,
    flags: &[Flag],
) -> (Figment, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut figment = Figment::new().merge(Layer {
        name: "default".to_owned(),
        dict: parse(DEFAULTS).unwrap_or_default(),
    });
    for variable in AWS_ENDPOINTS {
        if let Some(url) = environment.get(variable).filter(|url| !url.is_empty()) {
            figment = figment.merge(Layer {
                name: format!("environment variable {variable}"),
                dict: nested("backup.s3.endpoint_url", Value::from(url.as_str())),
            });
        }
    }
    if let Some(path) = file {
        let name = path.display().to_string();
        match read(path) {
            Ok(dict) => figment = figment.merge(Layer { name, dict }),
            Err((message, hint)) => problems.push(Problem {
                origin: name,
                field: "(file)".to_owned(),
                message,
                hint: Some(hint.to_owned()),
            }),
        }
    }
    if let Some(text) = environment
        .get(WHOLE)
        .filter(|text| !text.trim().is_empty())
    {
        let name = format!("environment variable {WHOLE}");
        match parse(text) {
            Ok(dict) => figment = figment.merge(Layer { name, dict }),
            Err(error) => problems.push(Problem {
                origin: name,
                field: "(document)".to_owned(),
                message: format!("is not valid YAML: {error}"),
                hint: Some("mind the indentation".to_owned()),
            }),
        }
    }
    for (variable, value) in environment {
        let named = NAMED_VARIABLES.iter().find(|(name, _)| name == variable);
        let field = match (named, variable.strip_prefix(VARIABLE_PREFIX)) {
            (Some((_, field)), _) => (*field).to_owned(),
            (None, Some(rest)) => {
                format!("backup.{}", rest.to_ascii_lowercase().replace("__", "."))
            }
            (None, None) => continue,
        };
        if value.is_empty() || is_of_a_service(variable) {
            continue;
        }
        figment = figment.merge(Layer {
            name: format!("environment variable {variable}"),
            dict: nested(&field, Value::from(value.as_str())),
        });
    }
    for flag in flags {
        figment = figment.merge(Layer {
            name: format!("flag {}", flag.name),
            dict: nested(flag.field, flag.value.clone()),
        });
    }
    (figment, problems)
}

/// Whether Kubernetes has set a variable because there is a Service named `offsite`.
fn is_of_a_service(variable: &str) -> bool {
    let rest = variable.strip_prefix(VARIABLE_PREFIX).unwrap_or_default();
    rest == "PORT"
        || ["PORT_", "SERVICE_HOST", "SERVICE_PORT"]
            .iter()
            .any(|name| rest.starts_with(name))
}

fn read(path: &Path) -> Result<Dict, (String, &'static str)> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let hint = "write one with `offsite init`, or name another with --config";
        (format!("cannot be read: {error}"), hint)
    })?;
    parse(&text).map_err(|error| {
        (
            format!("is not valid YAML: {error}"),
            "mind the indentation",
        )
    })
}

/// An empty file is an empty mapping. `no`, `on` and `y` are texts, as in YAML 1.2: a bucket may well
/// be called so.
fn parse(text: &str) -> Result<Dict, serde_saphyr::Error> {
    let options = serde_saphyr::options! { strict_booleans: true };
    let dict: Option<Dict> = serde_saphyr::from_str_with_options(text, options)?;
    Ok(dict.unwrap_or_default())
}

fn nested(field: &str, value: Value) -> Dict {
    figment::util::nest(field, value)
        .into_dict()
        .unwrap_or_default()
}
