//! What the documentation says, against what is so.

use std::collections::BTreeSet;
use std::path::PathBuf;

use local_s3::{Fault, Operation};
use offsite::exit::ExitCode;
use serde_json::Value;

use crate::support::{World, noise};

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn page(name: &str) -> String {
    std::fs::read_to_string(repository().join(name)).unwrap()
}

#[test]
fn exit_codes_are_those_of_the_program() {
    let page = page("docs/EXIT-CODES.md");
    let rows: Vec<_> = page
        .lines()
        .filter(|line| line.starts_with("| "))
        .skip(1)
        .collect();
    assert_eq!(rows.len(), ExitCode::ALL.len());
    for (row, code) in rows.iter().zip(ExitCode::ALL) {
        let expected = format!("| {} | {} |", code.code(), code.meaning());
        assert!(row.starts_with(&expected), "{row} is not {expected}");
    }
}

/// Rust files below a directory, but for those of tests.
fn sources(directory: &std::path::Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let of = |path: PathBuf| match path.is_dir() {
        true => sources(&path),
        false => vec![path],
    };
    let is_source = |path: &PathBuf| {
        path.extension().is_some_and(|kind| kind == "rs") && !path.ends_with("tests.rs")
    };
    paths.flat_map(of).filter(is_source).collect()
}

#[test]
fn the_image_is_built_with_every_file_that_the_program_includes() {
    let ignored = page(".dockerignore");
    let sent: Vec<_> = ignored
        .lines()
        .filter_map(|line| line.strip_prefix('!'))
        .map(|name| repository().join(name).canonicalize().unwrap())
        .collect();
    let mut included = 0;
    for file in sources(&repository().join("src")) {
        let text = std::fs::read_to_string(&file).unwrap();
        for rest in text.split("include_str!(\"").skip(1) {
            let name = rest.split('"').next().unwrap();
            let path = file.parent().unwrap().join(name).canonicalize().unwrap();
            let is_sent = sent.iter().any(|sent| path.starts_with(sent));
            assert!(is_sent, "{} is not sent to the builder", path.display());
            included += 1;
        }
    }
    assert!(included >= 2, "{included}");
}

#[test]
fn every_setting_is_documented() {
    let mut world = World::new();
    world.unset("OFFSITE_RETRY__FOR");
    let page = page("docs/CONFIGURATION.md");
    let output = world.offsite(["config", "--json"]);
    let config: Value = serde_json::from_str(&output.stdout).unwrap();
    for shown in config["settings"].as_array().unwrap() {
        let field = shown["field"].as_str().unwrap();
        let is_origin = shown["origin"] == "default";
        if !is_origin {
            continue;
        }
        let row = page
            .lines()
            .find(|line| line.starts_with(&format!("| `{field}`")));
        let row = row.unwrap_or_else(|| panic!("{field} is not documented"));
        let value = match &shown["value"] {
            Value::String(text) if text.is_empty() => "empty".to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        assert!(
            row.split('|').nth(2).unwrap().contains(&value),
            "{row}: it is {value}"
        );
    }
}

/// Names of tests, with the name of their module.
fn tests() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut directories = vec![repository().join("tests/it"), repository().join("src")];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let module = match path.file_stem().unwrap().to_str().unwrap() {
                "mod" | "tests" => path.parent().unwrap().file_stem().unwrap(),
                _ => path.file_stem().unwrap(),
            };
            let module = module.to_str().unwrap().to_owned();
            let Ok(text) = std::fs::read_to_string(&path) else {
                continue;
            };
            let functions = text.split("test]\n").skip(1);
            for function in functions {
                let name = function
                    .split("fn ")
                    .nth(1)
                    .and_then(|rest| rest.split('(').next());
                names.insert(format!("{module}::{}", name.unwrap()));
            }
        }
    }
    names
}

#[test]
fn every_promise_names_tests_that_exist() {
    let tests = tests();
    for (file, at_least) in [
        ("docs/SEMANTICS.md", 40),
        ("docs/OPERATIONS.md", 5),
        ("docs/LOOKING.md", 3),
    ] {
        let page = page(file);
        let named: Vec<_> = page
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|word| word.contains("::"))
            .collect();
        assert!(named.len() > at_least, "{}", named.len());
        for name in named {
            assert!(tests.contains(name), "{name} does not exist");
        }
    }
}

/// The table of permissions names the requests of everything the program does, and no others.
#[test]
fn every_request_has_its_permission_in_the_table() {
    let mut world = World::new();
    let mut seen = BTreeSet::new();
    let mut note = |world: &World| {
        let requests = world.server.requests();
        seen.extend(requests.iter().map(|request| request.operation.name()));
    };
    world.write("small", "small");
    world.write("large", noise(1, 17 << 20));
    // A part that is refused makes the pass give its upload up.
    let refused = Fault::on(Operation::UploadPart).times(1);
    world.server.fault(refused.status(403, "AccessDenied"));
    world.offsite(["run"]);
    world.back_up();
    world.set("DEFAULTS__METHOD", "archive");
    world.set("DEFAULTS__STORAGE_CLASS", "STANDARD_IA");
    world.back_up();
    note(&world);
    for command in [
        vec!["verify", "--read"],
        vec!["list", "latest"],
        vec!["find", "small"],
        vec!["cat", "latest", "small"],
        vec!["diff", "latest"],
        vec!["drill"],
        vec!["status", "--history"],
        vec!["plan"],
        vec!["unlock"],
        vec!["restore", "--to", "restored"],
    ] {
        assert_eq!(world.offsite(&command).code, 0, "{command:?}");
        note(&world);
    }
    let table = page("deploy/ecs/README.md");
    let rows = table.lines().filter(|line| line.starts_with("| `s3:"));
    // Later tables are of settings that this test does not use.
    let rows = rows.take_while(|line| !line.contains("PutObjectTagging"));
    let requests = rows
        .filter_map(|row| row.split('|').nth(3))
        .flat_map(|cell| {
            cell.split(|c: char| !c.is_ascii_alphanumeric())
                .filter(|word| Operation::ALL.iter().any(|known| known.name() == *word))
        });
    assert_eq!(requests.collect::<BTreeSet<_>>(), seen);
}

#[test]
fn there_is_a_runbook_for_every_exit_code_and_every_alarm() {
    let runbooks = page("docs/OPERATIONS.md");
    let has = |heading: &str| {
        let is_it = |line: &str| line.starts_with("### ") && line.contains(heading);
        assert!(runbooks.lines().any(is_it), "no runbook: {heading}");
    };
    for code in ExitCode::ALL {
        has(&format!("Exit code {}", code.code()));
    }
    let alarms = page("terraform/alarms.tf");
    let named = alarms
        .lines()
        .filter_map(|line| line.trim().strip_prefix("alarm_name"))
        .filter_map(|line| line.rsplit_once("}-")?.1.strip_suffix('"'))
        .filter(|name| !name.starts_with('$'));
    let keys = alarms
        .lines()
        .filter_map(|line| line.strip_prefix("    ")?.strip_suffix(" = {"))
        .filter(|key| !key.starts_with(' '));
    let alarms: Vec<_> = named.chain(keys).collect();
    assert!(alarms.len() >= 6, "{alarms:?}");
    for alarm in alarms {
        has(alarm);
    }
    let rule = page("deploy/helm/offsite/templates/prometheusrule.yaml");
    for alert in rule.split("alert: Offsite{{ .what }}").skip(1) {
        has(&format!(
            "OffsiteBackup{}",
            alert.split_whitespace().next().unwrap()
        ));
    }
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut pages: Vec<PathBuf> = vec![
        "README.md".into(),
        "ARCHITECTURE.md".into(),
        "CHANGELOG.md".into(),
    ];
    for directory in ["docs", "docs/adr"] {
        for entry in std::fs::read_dir(repository().join(directory)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "md") {
                pages.push(path.strip_prefix(repository()).unwrap().to_owned());
            }
        }
    }
    for page in pages {
        let text = std::fs::read_to_string(repository().join(&page)).unwrap();
        for link in text.split("](").skip(1) {
            let target = link.split([')', '#']).next().unwrap();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let path = repository().join(&page).parent().unwrap().join(target);
            assert!(path.exists(), "{}: {target} does not exist", page.display());
        }
    }
}

#[test]
fn the_readme_names_every_command() {
    let world = World::new();
    let help = world.offsite(["--help"]).stdout;
    let commands = help
        .split_once("Commands:")
        .unwrap()
        .1
        .split_once("Options:")
        .unwrap()
        .0;
    let readme = page("README.md");
    // Deeper lines go on with what the one before them says.
    let is_command = |line: &&str| line.starts_with("  ") && !line.starts_with("   ");
    for line in commands.lines().filter(is_command) {
        let name = line.split_whitespace().next().unwrap();
        assert!(readme.contains(&format!("offsite {name}")), "{name}");
    }
}
