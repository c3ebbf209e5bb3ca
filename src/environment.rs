//! The environment the program was started in: variables, host, container.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::format::lock::Holder;

/// A JSON object in one variable, as secret stores hand it to containers.
pub const BUNDLE: &str = "API_KEYS";

/// Variables, and which of them a bundle has supplied.
#[derive(Debug, Default)]
pub struct Environment {
    /// All variables that are text.
    pub variables: BTreeMap<String, String>,
    /// Names of those that [`BUNDLE`] has supplied.
    pub bundled: Vec<String>,
    /// What is wrong with the bundle.
    pub bundle_problem: Option<String>,
}

/// Reads the environment, and sets the `AWS_*` variables that are in the bundle and not set on
/// their own, for the SDK to find. To be called while there is one thread.
#[must_use]
pub fn prepare() -> Environment {
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let environment = expand(variables.collect());
    for name in &environment.bundled {
        #[expect(unsafe_code, reason = "the process has no other thread yet")]
        unsafe {
            std::env::set_var(name, &environment.variables[name]);
        }
    }
    environment
}

/// Adds what the bundle supplies.
fn expand(mut variables: BTreeMap<String, String>) -> Environment {
    let mut bundled = Vec::new();
    let mut bundle_problem = None;
    if let Some(bundle) = variables
        .get(BUNDLE)
        .filter(|bundle| !bundle.trim().is_empty())
    {
        match read(bundle) {
            Ok(bundle) => {
                for (name, value) in bundle {
                    let is_set = variables.get(&name).is_some_and(|value| !value.is_empty());
                    if let Some(text) = value.as_str()
                        && name.starts_with("AWS_")
                        && !is_set
                    {
                        variables.insert(name.clone(), text.to_owned());
                        bundled.push(name);
                    }
                }
            }
            Err(problem) => bundle_problem = Some(problem),
        }
    }
    Environment {
        variables,
        bundled,
        bundle_problem,
    }
}

/// What a bundle has, or what is wrong with it. The latter quotes nothing of it: it holds secrets.
fn read(bundle: &str) -> Result<Map<String, Value>, String> {
    let text = match serde_json::from_str(bundle) {
        Ok(Value::Object(bundle)) => return Ok(bundle),
        Ok(Value::String(text)) => text,
        Ok(_) => return Err("is JSON, but not an object".to_owned()),
        Err(error) => {
            let (line, column) = (error.line(), error.column());
            return Err(format!(
                "is not a JSON object: it is no JSON at line {line}, column {column}"
            ));
        }
    };
    Err(match serde_json::from_str(&text) {
        Ok(Value::Object(_)) => {
            "is a JSON string that holds a JSON object: it has been encoded twice, decode it once"
        }
        _ => "is a JSON string, not an object",
    }
    .to_owned())
}

impl Environment {
    /// Who we are, for the lease.
    #[must_use]
    pub fn holder(&self) -> Holder {
        let host = rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned();
        let in_kubernetes = self.variables.contains_key("KUBERNETES_SERVICE_HOST");
        // A pod's host name is its own name unless somebody sets another one.
        let pod = self.variables.get("POD_NAME").unwrap_or(&host).clone();
        let pod = in_kubernetes.then(|| match self.variables.get("POD_NAMESPACE") {
            Some(namespace) => format!("{namespace}/{pod}"),
            None => pod,
        });
        Holder {
            host,
            pid: std::process::id(),
            pod,
            ecs_task: None,
            ecs_cluster: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(pairs: &[(&str, &str)]) -> Environment {
        let owned = pairs
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        expand(owned.collect())
    }

    #[test]
    fn a_bundle_supplies_what_is_not_set_on_its_own() {
        let bundle = r#"{"AWS_ACCESS_KEY_ID": "a", "AWS_REGION": "b", "OTHER": "c", "AWS_X": 1}"#;
        let environment = expanded(&[(BUNDLE, bundle), ("AWS_REGION", "set")]);
        assert_eq!(environment.bundled, ["AWS_ACCESS_KEY_ID"]);
        assert_eq!(environment.variables["AWS_ACCESS_KEY_ID"], "a");
        assert_eq!(environment.variables["AWS_REGION"], "set");
        assert!(!environment.variables.contains_key("OTHER"));
        assert!(environment.bundle_problem.is_none());
    }

    #[test]
    fn what_is_wrong_with_a_bundle_is_said_without_quoting_it() {
        let object = r#"{"AWS_X": "secret"}"#;
        let text = |text: &str| Value::from(text).to_string();
        for (bundle, problem) in [
            ("AWS_X=secret".to_owned(), "is not a JSON object"),
            (format!("{object}secret"), "line 1, column 20"),
            (text(object), "is a JSON string that holds a JSON object"),
            (text("secret"), "is a JSON string, not an object"),
            (format!("[{object}]"), "is JSON, but not an object"),
        ] {
            let said = expanded(&[(BUNDLE, &bundle)]).bundle_problem.unwrap();
            assert!(said.contains(problem), "{said}");
            assert!(!said.contains("secret"), "{said}");
        }
    }
}
