//! `offsite config`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::table::Table;
use super::{Context, print, print_json};
use crate::cli::ConfigArgs;
use crate::config::{DOCUMENT_VARIABLE, Purpose, Shown, document};
use crate::environment::BUNDLE;
use crate::error::Failure;
use crate::exit::ExitCode;
use crate::text::{REDACTED, redacted};

/// A source as it will be backed up.
#[derive(Serialize)]
struct Source {
    name: String,
    place: String,
}

/// What `config --json` says.
#[derive(Serialize)]
struct Effective {
    file: Option<String>,
    /// Whether there is a document in the environment.
    document: bool,
    settings: Vec<Shown>,
    environment: BTreeMap<String, Shown>,
    sources: Vec<Source>,
}

pub(super) fn config(context: &Context, args: &ConfigArgs) -> Result<ExitCode, Failure> {
    let config = context.load(&args.run.flags(), Purpose::Read)?;
    let sources = config.job.pass.sources.iter().map(|source| Source {
        name: source.name.to_string(),
        place: source.place.text(),
    });
    let effective = Effective {
        file: context.file.as_ref().map(|file| file.display().to_string()),
        document: document(&context.environment.variables).is_some(),
        settings: config.shown,
        environment: aws_environment(context),
        sources: sources.collect(),
    };
    match args.json {
        true => print_json(&effective),
        false => print(&text(&effective)),
    }
    Ok(ExitCode::Complete)
}

/// The settings of the AWS SDK, which reads them itself.
fn aws_environment(context: &Context) -> BTreeMap<String, Shown> {
    let variables = context.environment.variables.iter();
    let aws = variables.filter(|(name, _)| name.starts_with("AWS_"));
    aws.map(|(name, value)| {
        let is_secret = ["SECRET", "TOKEN", "KEY"]
            .iter()
            .any(|word| name.contains(word));
        let bundled = context.environment.bundled.contains(name);
        let shown = Shown {
            field: name.clone(),
            value: match is_secret && !name.ends_with("_FILE") {
                true => REDACTED.into(),
                false => redacted(value).into(),
            },
            origin: match bundled {
                true => format!("environment variable {BUNDLE}"),
                false => "environment".to_owned(),
            },
        };
        (name.clone(), shown)
    })
    .collect()
}

fn text(effective: &Effective) -> String {
    let mut table = Table::new(&["SETTING", "VALUE", "FROM"], &[]);
    let all = effective
        .settings
        .iter()
        .chain(effective.environment.values());
    for shown in all {
        let value = shown.value.to_string();
        table.row(vec![shown.field.clone(), value, shown.origin.clone()]);
    }
    let mut sources = Table::new(&["SOURCE", "PLACE"], &[]);
    for source in &effective.sources {
        sources.row(vec![source.name.clone(), source.place.clone()]);
    }
    let file = effective.file.as_deref().unwrap_or("none");
    let document = match effective.document {
        true => format!(", environment variable {DOCUMENT_VARIABLE}"),
        false => String::new(),
    };
    format!("configuration file: {file}{document}\n\n{table}\n{sources}")
}
