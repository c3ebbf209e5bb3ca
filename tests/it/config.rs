//! Configuration: what is written, what comes of it, and what is said about what is wrong.

mod copies;
mod media_backup;

use serde_json::Value;

use crate::support::tree::settle;
use crate::support::{Output, World};

/// The configuration in the words of the Document Portal Backup Service.
const DOCUMENT_PORTAL: &str = r#"backup:
  s3:
    bucket: "document-portal-s3"   # REQUIRED (unless overridden via --bucket)
    prefix: "backups/"
    include_dirs:
      - "/data"
      - "/logs"
    interval_seconds: 900
"#;

fn effective(world: &World, args: &[&str]) -> Value {
    let output = world.offsite(["config", "--json"].iter().chain(args));
    assert_eq!(output.code, 0, "{output:?}");
    serde_json::from_str(&output.stdout).unwrap()
}

fn setting<'a>(effective: &'a Value, field: &str) -> (&'a Value, &'a str) {
    let settings = effective["settings"].as_array().unwrap();
    let shown = settings.iter().find(|shown| shown["field"] == field);
    let shown = shown.unwrap_or_else(|| panic!("no {field} in {settings:#?}"));
    (&shown["value"], shown["origin"].as_str().unwrap())
}

fn sources(effective: &Value) -> Vec<(&str, &str)> {
    let sources = effective["sources"].as_array().unwrap().iter();
    sources
        .map(|s| (s["name"].as_str().unwrap(), s["place"].as_str().unwrap()))
        .collect()
}

#[test]
fn the_document_portals_configuration_works_unmodified() {
    let world = World::new();
    world.configure(DOCUMENT_PORTAL);
    let config = effective(&world, &[]);
    assert_eq!(
        setting(&config, "backup.s3.bucket"),
        (&"document-portal-s3".into(), "backup_config.yaml")
    );
    assert_eq!(setting(&config, "backup.s3.prefix").0, "backups/");
    assert_eq!(setting(&config, "backup.s3.interval_seconds").0, 900);
    assert_eq!(sources(&config), [("data", "/data"), ("logs", "/logs")]);

    let config = effective(
        &world,
        &[
            "--bucket",
            "my-bucket",
            "--prefix",
            "adhoc/",
            "--dirs",
            "/app/data,/app/logs",
            "--interval",
            "3600",
        ],
    );
    assert_eq!(
        setting(&config, "backup.s3.bucket"),
        (&"my-bucket".into(), "flag --bucket")
    );
    assert_eq!(
        setting(&config, "backup.s3.prefix"),
        (&"adhoc/".into(), "flag --prefix")
    );
    assert_eq!(
        setting(&config, "backup.s3.interval_seconds"),
        (&"3600".into(), "flag --interval")
    );
    assert_eq!(
        sources(&config),
        [("app-data", "/app/data"), ("app-logs", "/app/logs")]
    );
}

#[test]
fn the_document_portals_commands_work_unmodified() {
    let mut world = World::new();
    world.write("example.txt", "hello\n");
    world.configure(&format!(
        "backup:\n  s3: {{bucket: backups, prefix: team/, include_dirs: [{}], interval_seconds: 900}}\n",
        world.data().display()
    ));
    world.env("BACKUP_MANIFEST", "manifest.json");
    let output = world.offsite(["--config", "backup_config.yaml", "--once"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(output.events_named("file_uploaded").len(), 1);
    output.event("backup_completed");

    let manifest = std::fs::read(world.path("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let file = &manifest["sources"][0]["entries"][1];
    assert_eq!(
        (&file["path"], &file["size"]),
        (&"example.txt".into(), &6.into())
    );
    assert!(
        file["mtime_ns"].is_i64() && file["sha256"].is_string(),
        "{file}"
    );

    std::fs::write(world.data().join("example.txt"), "hello\nmore\n").unwrap();
    settle();
    std::fs::rename(
        world.path("backup_config.yaml"),
        world.path("elsewhere.yaml"),
    )
    .unwrap();
    world.env("BACKUP_CONFIG_PATH", "elsewhere.yaml");
    let output = world.offsite(["--once", "--no-incremental"]);
    assert_eq!(output.events_named("file_uploaded").len(), 1, "{output:?}");
    let output = world.offsite(["--once", "--archive"]);
    output.event("backup_archive_uploaded");
}

#[test]
fn an_interval_makes_a_loop_that_a_signal_ends() {
    let mut world = World::new();
    world.write("a", "a");
    settle();
    world.env("OFFSITE_S3__INTERVAL_SECONDS", 1);
    // `run` is one pass, whatever is configured, unless it is told otherwise.
    assert_eq!(
        world
            .offsite(["run"])
            .events_named("backup_completed")
            .len(),
        1
    );
    for args in [&["run", "--interval", "1"][..], &[]] {
        let before = world.snapshots().len();
        let child = world.spawn(args);
        while world.snapshots().len() < before + 3 {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let output = crate::support::finish(child.wait_with_output().unwrap());
        assert_eq!(output.code, 143, "{output:?}");
        assert!(
            output.events_named("backup_completed").len() >= 2,
            "{output:?}"
        );
    }
}

#[test]
fn layers_win_in_their_order() {
    let mut world = World::new();
    world.configure(
        "backup: {s3: {bucket: from-file, region: file-region, endpoint_url: 'http://file:1'}}\n",
    );
    world.env("OFFSITE_S3__REGION", "env-region");
    world.env("LOG_LEVEL", "WARNING");
    let config = effective(&world, &["--endpoint-url", "http://flag:1"]);
    assert_eq!(
        setting(&config, "backup.lock.ttl_seconds"),
        (&120.into(), "default")
    );
    assert_eq!(
        setting(&config, "backup.s3.bucket"),
        (&"from-file".into(), "backup_config.yaml")
    );
    assert_eq!(
        setting(&config, "backup.s3.region"),
        (
            &"env-region".into(),
            "environment variable OFFSITE_S3__REGION"
        )
    );
    assert_eq!(
        setting(&config, "backup.s3.endpoint_url"),
        (&"http://flag:1".into(), "flag --endpoint-url")
    );
    assert_eq!(
        setting(&config, "backup.log.level"),
        (&"WARNING".into(), "environment variable LOG_LEVEL")
    );
}

#[test]
fn secrets_are_not_shown() {
    let mut world = World::new();
    world.env("AWS_SESSION_TOKEN", "very-secret");
    world.env(
        "API_KEYS",
        r#"{"AWS_SECRET_ACCESS_KEY": "not used", "AWS_REGION": "eu-west-1"}"#,
    );
    let url = "http://user:very-secret@127.0.0.1:9000";
    world.env("OFFSITE_S3__ENDPOINT_URL", url);
    world.env("AWS_ENDPOINT_URL", url);
    world.env("AWS_ENDPOINT_URL_STS", url);
    for args in [&["config"][..], &["config", "--json"]] {
        let output = world.offsite(args);
        assert_eq!(output.code, 0, "{output:?}");
        assert!(!output.stdout.contains("secret@"), "{output:?}");
        assert!(!output.stdout.contains("very-secret"), "{output:?}");
        assert!(output.stdout.contains("[redacted]"), "{output:?}");
        assert!(output.stdout.contains("API_KEYS"), "{output:?}");
    }
}

#[test]
fn secrets_are_not_quoted_where_something_is_wrong_with_them() {
    let secret = "http://user:very-secret@127.0.0.1:9000";
    let document = |settings: &str| format!("backup:\n  s3:\n{settings}");
    let bundle = serde_json::json!({"AWS_SECRET_ACCESS_KEY": "very-secret"}).to_string();
    for (variable, value, code, says) in [
        (
            "API_KEYS",
            serde_json::json!(bundle).to_string(),
            2,
            "a JSON string that holds",
        ),
        ("API_KEYS", format!("[{bundle}]"), 2, "not an object"),
        ("API_KEYS", bundle.replace('}', ""), 2, "line 1, column"),
        (
            "BACKUP_CONFIG_YAML",
            document(&format!("    endpoint_url: {secret}\n   bucket: [x")),
            2,
            "line 4",
        ),
        (
            "BACKUP_CONFIG_YAML",
            document(&format!("    endpoint_url: [\"{secret}\"]")),
            2,
            "must be text, not [\"http://[redacted]@127.0.0.1:9000\"]",
        ),
        (
            "OFFSITE_S3__FORCE_PATH_STYLE",
            secret.to_owned(),
            2,
            "must be true or false, not \"http://[redacted]@",
        ),
        (
            "OFFSITE_S3__STORAGE_CLASS",
            secret.to_owned(),
            2,
            "must be a storage class like STANDARD, STANDARD_IA or GLACIER_IR, not \"http://[redacted]@",
        ),
        (
            "OFFSITE_S3__ENDPOINT_URL",
            format!("{secret}/?query"),
            1,
            "http://[redacted]@",
        ),
    ] {
        let mut world = World::new();
        world.env(variable, value);
        let output = world.offsite(["run"]);
        assert_eq!(output.code, code, "{output:?}");
        let said = output.stderr + &output.stdout;
        assert!(said.contains(says), "{said}");
        assert!(!said.contains("secret"), "{said}");
    }
}

#[test]
fn a_bundle_of_keys_supplies_credentials() {
    let mut world = World::new();
    world.write("a", "a");
    let credentials = world.server.credentials();
    let bundle = serde_json::json!({
        "AWS_ACCESS_KEY_ID": credentials.access_key,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
        "SOMETHING_ELSE": 1,
    });
    world.env("API_KEYS", bundle);
    world.env("AWS_ACCESS_KEY_ID", "");
    world.env("AWS_SECRET_ACCESS_KEY", "");
    world.back_up();
    world.env("API_KEYS", "not json");
    let output = world.offsite(["run"]);
    assert_eq!(output.code, 2);
    assert!(output.stderr.contains("API_KEYS"), "{output:?}");
}

#[test]
fn flags_pick_among_the_configured_sources() {
    let world = World::new();
    world.configure(
        "backup:\n  s3: {bucket: backups, include_dirs: [/logs]}\n  sources:\n    \
         - {name: media, directory: /data/media, exclude: ['*.tmp']}\n    - {name: docs, directory: /docs}\n",
    );
    let all = effective(&world, &[]);
    assert_eq!(
        sources(&all),
        [
            ("media", "/data/media"),
            ("docs", "/docs"),
            ("logs", "/logs")
        ]
    );
    let some = effective(&world, &["--dirs", "/data/media/,/other"]);
    assert_eq!(
        sources(&some),
        [("media", "/data/media"), ("other", "/other")]
    );
    let none = world.offsite(["run", "--source", "nobody"]);
    assert_eq!(none.code, 10, "{none:?}");
    assert!(none.stderr.contains("media, docs, logs"), "{none:?}");
}

/// What is wrong, as `field: message`.
fn problems(output: &Output) -> Vec<String> {
    assert_eq!(output.code, 2, "{output:?}");
    assert!(
        output.stdout.is_empty() || output.stdout.contains("backup_failed"),
        "{output:?}"
    );
    let problem = |line: &str| {
        let (_, rest) = line.strip_prefix("  ")?.split_once(": `")?;
        (!line.starts_with("    ")).then(|| rest.replacen('`', "", 1))
    };
    output.stderr.lines().filter_map(problem).collect()
}

#[test]
fn a_store_is_named_by_its_url() {
    let succeeds = |world: &World, args: &[&str]| {
        let output = world.offsite(args);
        assert_eq!(output.code, 0, "{args:?}: {output:?}");
    };
    let mut world = World::new();
    world.write("a", "a");
    let sources = format!(
        "sources: [{{name: data, directory: {}}}]",
        world.data().display()
    );
    world.configure(&format!(
        "backup: {{store: 's3://backups/by-url', {sources}}}"
    ));
    succeeds(&world, &["run"]);
    let keys = world.server.keys("backups");
    assert!(
        keys.iter().all(|key| key.starts_with("by-url/")),
        "{keys:?}"
    );
    succeeds(&world, &["verify", "--store", "s3://backups/by-url/"]);
    let elsewhere = world.offsite(["list", "--store", "s3://backups/elsewhere"]);
    assert!(!elsewhere.stdout.contains("data"), "{elsewhere:?}");

    // The file has the long form; what comes later wins.
    world.configure(&format!(
        "backup: {{s3: {{bucket: another-bucket, prefix: by-url}}, {sources}}}"
    ));
    world.set("STORE", "s3://backups/by-url");
    succeeds(&world, &["verify"]);
    world.set("STORE", "s3://another-bucket/by-url");
    succeeds(&world, &["verify", "--bucket", "backups"]);
    // The forms of one layer agree.
    world.set("S3__BUCKET", "another-bucket");
    succeeds(&world, &["verify", "--bucket", "backups"]);
    world.set("S3__BUCKET", "backups");
    let output = world.offsite(["verify"]);
    assert_eq!(
        problems(&output),
        ["backup.store names another place than `backup.s3`, which is `s3://backups/by-url/`"]
    );
    assert_eq!(output.code, 2);
}

#[test]
fn what_names_no_store_is_refused() {
    let mut world = World::new();
    let kind = "must start with `s3://`, or be the path of a directory, which starts with `/`, `./` or `../`";
    for (url, problem) in [
        ("backups/media", kind),
        ("gs://backups/media", kind),
        ("s3://Backups/media", "is not a bucket name"),
    ] {
        world.set("STORE", url);
        for output in [
            world.offsite(["run"]),
            world.offsite(["list", "--store", url]),
        ] {
            assert_eq!(
                problems(&output),
                [format!("backup.store {problem}")],
                "{url}"
            );
            assert_eq!(output.code, 2);
        }
    }
}

#[test]
fn all_problems_are_reported_together() {
    let mut world = World::new();
    world.configure(
        r#"
backup:
  s3:
    buckett: my-bucket
    prefix: [1]
    endpoint_url: minio:9000
    storage_class: fast
    encryption: rot13
    include_dirs: [/data, /data/sub, /a/b, /a-b]
    interval_seconds: soon
  sources:
    - {name: "a b", directory: /x, exclude: ["[z-a]"]}
    - {name: yes}
    - just text
  lock: {ttl_seconds: 1}
  limits: {concurrency: 0, memory: 1KB, bandwidth: fast}
  log: {level: loud}
  extra: true
"#,
    );
    world.env("OFFSITE_LOG__FORMAT", "xml");
    let output = world.offsite(["run"]);
    let found = problems(&output);
    let expected = [
        "backup.s3.buckett is not a setting",
        "backup.s3.prefix must be text",
        "backup.s3.endpoint_url must be a URL",
        "backup.s3.storage_class must be a storage class",
        "backup.s3.encryption must be one of bucket, AES256, aws:kms",
        "backup.s3.interval_seconds must be seconds, or a duration",
        "backup.s3.include_dirs[1] lies in `/data`",
        "backup.s3.include_dirs[3] is named `a-b`",
        "backup.store is missing",
        "backup.sources[0].name is no source name",
        "backup.sources[0].exclude has a bad pattern",
        // A name, not YAML 1.1's idea of true.
        "backup.sources[1] does not say what to back up",
        "backup.sources[2] must be a mapping",
        "backup.lock.ttl_seconds must be 3 seconds or more",
        "backup.limits.concurrency must be 1 or more",
        "backup.limits.memory must be 16MiB or more",
        "backup.limits.bandwidth must be bytes",
        "backup.log.level must be one of error",
        "backup.log.format must be one of auto, json, text",
        "backup.extra is not a setting",
    ];
    for expected in expected {
        assert!(
            found.iter().any(|f| f.starts_with(expected)),
            "{expected} is not in {found:#?}"
        );
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    assert!(
        output.stderr.contains("did you mean `bucket`?"),
        "{output:?}"
    );
    assert!(
        output
            .stderr
            .contains("environment variable OFFSITE_LOG__FORMAT"),
        "{output:?}"
    );
    // Whoever watches the events hears of it too.
    assert_eq!(output.event("backup_failed")["exit_code"], 2);
}

#[test]
fn a_file_that_is_missing_or_no_yaml_is_named() {
    let world = World::new();
    let output = world.offsite(["list", "--config", "nowhere.yaml"]);
    assert_eq!(output.code, 2);
    assert!(
        output
            .stderr
            .contains("nowhere.yaml: `(file)` cannot be read"),
        "{output:?}"
    );
    world.configure("backup:\n  s3: [unclosed\n");
    let output = world.offsite(["list"]);
    assert_eq!(output.code, 2);
    assert!(output.stderr.contains("is not valid YAML"), "{output:?}");
    assert!(output.stderr.contains("line"), "{output:?}");
}

#[test]
fn what_init_writes_is_a_valid_configuration_with_the_defaults_it_names() {
    let mut world = World::new();
    world.unset("OFFSITE_RETRY__FOR");
    std::fs::remove_file(world.path("backup_config.yaml")).unwrap();
    let output = world.offsite(["init"]);
    assert_eq!(output.code, 0, "{output:?}");
    let again = world.offsite(["init"]);
    assert_eq!(again.code, 2, "{again:?}");
    assert!(again.stderr.contains("--force"), "{again:?}");
    assert_eq!(world.offsite(["init", "--force"]).code, 0);
    let shown = world.offsite(["init", "-"]).stdout;
    let file = std::fs::read_to_string(world.path("backup_config.yaml")).unwrap();
    assert_eq!(shown, file);

    let config = effective(&world, &[]);
    assert_eq!(sources(&config), [("data", "/data"), ("logs", "/logs")]);
    // With everything that is commented out switched on, it is still valid, and every setting the
    // program knows is in it.
    let written = std::fs::read_to_string(world.path("backup_config.yaml")).unwrap();
    let is_setting = |line: &str| {
        let line = line.trim_start().trim_start_matches("# ");
        let line = line.trim_start().trim_start_matches("- ");
        line.split_once(':').is_some_and(|(key, _)| {
            !key.is_empty() && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
        })
    };
    let switched_on: String = written
        .lines()
        .skip(6)
        .map(|line| match line.replacen("# ", "", 1) {
            uncommented if line.trim_start().starts_with('#') && is_setting(line) => {
                uncommented + "\n"
            }
            _ => line.to_owned() + "\n",
        })
        .collect();
    let switched_on = switched_on.replace("encryption: bucket", "encryption: aws:kms");
    world.configure(&switched_on);
    let everything = effective(&world, &[]);
    let fields = |config: &Value| -> std::collections::BTreeSet<String> {
        let settings = config["settings"].as_array().unwrap().iter();
        settings
            .map(|shown| shown["field"].as_str().unwrap().to_owned())
            .collect()
    };
    let shown = fields(&everything);
    for field in fields(&config) {
        assert!(shown.contains(&field), "{field}");
    }
    for shown in everything["settings"].as_array().unwrap() {
        let origin = shown["origin"].as_str().unwrap();
        let from_outside = shown["field"] == "backup.s3.endpoint_url";
        assert!(
            origin == "backup_config.yaml" || from_outside,
            "{shown} is not in the file"
        );
    }
    // Values shown as defaults are the defaults.
    for shown in config["settings"].as_array().unwrap() {
        if shown["origin"] == "default" && shown["field"] != "backup.s3.encryption" {
            let field = shown["field"].as_str().unwrap();
            assert_eq!(&shown["value"], setting(&everything, field).0, "{field}");
        }
    }
}

#[test]
fn what_would_back_up_nothing_or_something_else_is_refused() {
    let mut world = World::new();
    world.configure(&format!(
        "backup: {{s3: {{bucket: backups}}, sources: [{{directory: {}, exclude: [\"*.log\", \"!keep.log\"]}}]}}",
        world.data().display()
    ));
    let output = world.offsite(["run"]);
    assert_eq!(output.code, 2, "{output:?}");
    assert!(output.stderr.contains("`!keep.log`"), "{output:?}");
    world.configure(&format!(
        "backup: {{s3: {{bucket: backups}}, sources: [{{directory: {}}}]}}",
        world.data().display()
    ));
    let output = world.offsite(["run", "--dirs", ""]);
    assert_eq!(output.code, 2, "{output:?}");
    for (flag, value) in [
        ("--wait-for-lock", "18446744073709551615"),
        ("--interval", "999999999999"),
    ] {
        let output = world.offsite(["run", flag, value]);
        assert_eq!(output.code, 2, "{output:?}");
        assert!(output.stderr.contains("ten years"), "{output:?}");
    }
    world.set("LOCK__TTL_SECONDS", u64::MAX);
    assert_eq!(world.offsite(["run"]).code, 2);
}

#[test]
fn a_whole_document_may_stand_in_the_environment() {
    let mut world = World::new();
    let origin = "environment variable BACKUP_CONFIG_YAML";
    world.env(
        "BACKUP_CONFIG_YAML",
        "backup:\n  s3: {bucket: from-document, region: document-region}\n  \
         sources: [{name: docs, directory: /docs}]\n",
    );
    world.env("OFFSITE_S3__REGION", "env-region");
    // It takes the place of the file that nobody has named.
    let config = effective(&world, &[]);
    assert_eq!(config["file"], Value::Null);
    assert_eq!(
        setting(&config, "backup.s3.bucket"),
        (&"from-document".into(), origin)
    );
    assert_eq!(setting(&config, "backup.s3.region").0, "env-region");
    assert_eq!(sources(&config), [("docs", "/docs")]);
    let prefix = |config: &Value| {
        let mut settings = config["settings"].as_array().unwrap().iter();
        settings.any(|shown| shown["field"] == "backup.s3.prefix" && shown["value"] == "team/")
    };
    assert!(!prefix(&config));
    // It wins over one that is named.
    let config = effective(&world, &["--config", "backup_config.yaml"]);
    assert_eq!(setting(&config, "backup.s3.bucket").0, "from-document");
    assert!(prefix(&config));
    let text = world.offsite(["config"]).stdout;
    assert!(
        text.starts_with(&format!("configuration file: none, {origin}\n")),
        "{text}"
    );

    world.env("BACKUP_CONFIG_YAML", "backup: {s3: {buckett: x}}");
    let output = world.offsite(["config"]);
    assert_eq!(
        problems(&output)[0],
        "backup.s3.buckett is not a setting",
        "{output:?}"
    );
    assert!(output.stderr.contains(origin), "{output:?}");
    world.env("BACKUP_CONFIG_YAML", "backup: [unclosed");
    let output = world.offsite(["config"]);
    assert!(output.stderr.contains("is not valid YAML"), "{output:?}");
    assert!(output.stderr.contains(origin), "{output:?}");
    world.env("BACKUP_CONFIG_YAML", " ");
    assert!(prefix(&effective(&world, &[])));
}

#[test]
fn what_kubernetes_says_of_a_service_called_offsite_is_no_setting() {
    let mut world = World::new();
    for (name, value) in [
        ("OFFSITE_SERVICE_HOST", "10.0.0.11"),
        ("OFFSITE_SERVICE_PORT", "443"),
        ("OFFSITE_SERVICE_PORT_HTTPS", "443"),
        ("OFFSITE_PORT", "tcp://10.0.0.11:443"),
        ("OFFSITE_PORT_443_TCP", "tcp://10.0.0.11:443"),
        ("OFFSITE_PORT_443_TCP_PROTO", "tcp"),
        ("OFFSITE_PORT_443_TCP_PORT", "443"),
        ("OFFSITE_PORT_443_TCP_ADDR", "10.0.0.11"),
        ("OFFSITE_PORT_53_UDP", "udp://10.0.0.11:53"),
    ] {
        world.env(name, value);
    }
    assert_eq!(world.offsite(["config"]).code, 0);
    world.env("OFFSITE_PORTS", "443");
    let found = problems(&world.offsite(["config"]));
    assert_eq!(found, ["backup.ports is not a setting"]);
}

#[test]
fn a_job_without_directories_is_a_problem_whatever_is_configured() {
    let world = World::new();
    for command in ["run", "plan"] {
        let output = world.offsite([command, "--dirs", ""]);
        assert_eq!(output.code, 2, "{output:?}");
        let problem = "flag --dirs: `backup.s3.include_dirs` names nothing to back up";
        assert!(output.stderr.contains(problem), "{output:?}");
    }
}

#[test]
fn sources_may_overlap_where_one_excludes_the_other() {
    let world = World::new();
    let configure = |exclude: &str| {
        world.configure(&format!(
            "backup:\n  s3: {{bucket: backups}}\n  sources:\n    \
             - {{directory: /data/inner/most}}\n    - {{directory: /data, exclude: [{exclude}]}}\n"
        ));
        world.offsite(["config"])
    };
    for enough in ["/inner/", "most", "'in*'"] {
        assert_eq!(configure(enough).code, 0, "{enough}");
    }
    for too_little in ["", "'*.tmp'", "/most", "inner/*/x"] {
        let output = configure(too_little);
        assert_eq!(
            problems(&output),
            [
                "backup.sources[1].directory holds `/data/inner/most`, which `backup.sources[0].directory` names"
            ]
        );
        assert!(
            output.stderr.contains("exclude the inner one there"),
            "{output:?}"
        );
    }
}

#[test]
fn numbers_beyond_reason_are_problems() {
    let mut world = World::new();
    world.write("a", "a");
    let most = u64::MAX.to_string();
    for setting in [
        "LOCK__TTL_SECONDS",
        "LOCK__WAIT",
        "S3__INTERVAL_SECONDS",
        "S3__REQUEST_TIMEOUT",
        "MANIFEST__CHECKPOINT_SECONDS",
        "MANIFEST__SEGMENT_ENTRIES",
        "LIMITS__CONCURRENCY",
    ] {
        let mut world = World::new();
        world.set(setting, &most);
        let output = world.offsite(["run"]);
        let field = format!("backup.{}", setting.to_lowercase().replace("__", "."));
        let found = problems(&output);
        assert!(
            found[0].starts_with(&field) && found.len() == 1,
            "{found:?}"
        );
    }
    // The largest of those that have no bound.
    for setting in [
        "MANIFEST__CHECKPOINT_ENTRIES",
        "LIMITS__MEMORY",
        "LIMITS__BANDWIDTH",
        "LIMITS__SCAN_THREADS",
        "LIMITS__READ_THREADS",
    ] {
        world.set(setting, &most);
    }
    world.set("LIMITS__CONCURRENCY", 4096);
    world.set("MANIFEST__SEGMENT_ENTRIES", 16 << 20);
    for setting in [
        "LOCK__WAIT",
        "S3__INTERVAL_SECONDS",
        "MANIFEST__CHECKPOINT_SECONDS",
    ] {
        world.set(setting, "3650d");
    }
    world.set("LOCK__TTL_SECONDS", "1d");
    world.back_up();
    assert_eq!(world.offsite(["verify", "--read"]).code, 0);
}

#[test]
fn what_is_wrong_is_said_in_the_format_that_was_asked_for() {
    let mut world = World::new();
    world.env("OFFSITE_S3__BUCKETT", "x");
    let output = world.offsite(["run"]);
    assert_eq!(output.event("backup_failed")["exit_code"], 2);
    let output = world.offsite(["run", "--log-format", "text"]);
    assert_eq!((output.code, output.stdout.as_str()), (2, ""), "{output:?}");
    world.configure("backup: {s3: {bucket: backups}, log: {format: text}}");
    let output = world.offsite(["run"]);
    assert_eq!((output.code, output.stdout.as_str()), (2, ""), "{output:?}");
}

#[test]
fn what_belongs_to_sources_is_pointed_there() {
    let world = World::new();
    world.configure("backup:\n  store: /store\n  retention: {keep_last: 2}\n");
    let output = world.offsite(["config"]);
    assert_eq!(output.code, 2, "{output:?}");
    assert!(
        output
            .stderr
            .contains("`backup.retention` is not a setting"),
        "{output:?}"
    );
    assert!(
        output.stderr.contains("put it below `backup.defaults`"),
        "{output:?}"
    );
}
