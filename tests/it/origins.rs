//! Names of sources, and directories that share one.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::support::{Output, World, finish};

/// A world whose settings come from the environment alone, so that it can run anywhere.
fn world_anywhere() -> World {
    let mut world = World::new();
    world.set("S3__BUCKET", "backups");
    world.set("S3__PREFIX", "team/");
    fs::remove_file(world.path("backup_config.yaml")).unwrap();
    world.write("file", "contents");
    world
}

#[test]
fn one_directory_is_one_source_however_its_path_is_written() {
    let world = world_anywhere();
    let home = world.home.path().canonicalize().unwrap();
    let home_name = home.file_name().unwrap().to_str().unwrap();
    let absolute = home.join("data");
    let name = absolute.to_str().unwrap()[1..].replace('/', "-");
    let name = name.trim_start_matches('.');
    fs::create_dir(home.join("elsewhere")).unwrap();
    let spellings = [
        (".", "data".to_owned()),
        (".", "./data//".to_owned()),
        (".", format!("../{home_name}/data")),
        (".", format!("{}/../data/.", absolute.display())),
        (".", absolute.display().to_string()),
        ("data", ".".to_owned()),
        ("elsewhere", "../data".to_owned()),
    ];
    for (number, (cwd, written)) in spellings.iter().enumerate() {
        let run = |args: &[&str]| {
            let mut command = world.command(args);
            finish(command.current_dir(home.join(cwd)).output().unwrap())
        };
        let output = run(&["run", "--dirs", written]);
        assert_eq!(output.code, 0, "{written}: {output:?}");
        let started = output.event("source_started");
        assert_eq!(started["source"], name, "{written}");
        assert_eq!(started["place"], absolute.to_str().unwrap());
        assert_eq!(started["parent"].is_null(), number == 0, "{written}");
        assert!(output.events_named("notice").is_empty(), "{output:?}");
        let sent = &output.event("snapshot_committed")["uploaded_files"];
        assert_eq!(*sent, u64::from(number == 0), "{written}");
        // Each spelling is understood wherever a source is asked for.
        for args in [
            &["plan", "--dirs", written, "--source", written][..],
            &["plan", "--dirs", "/other,../data,./data", "--source", name],
        ] {
            let code = run(args).code;
            assert!(code == 0 || code == 2, "{args:?}");
        }
        if written.contains('/') {
            let listed = run(&["list", "--source", written]);
            assert_eq!(listed.code, 0, "{written}: {listed:?}");
        }
    }
    let status = world.offsite(["status", "--json"]);
    let status: Value = serde_json::from_str(&status.stdout).unwrap();
    assert_eq!(status["sources"].as_object().unwrap().len(), 1);
}

#[test]
fn a_link_names_its_source_wherever_it_leads() {
    let world = world_anywhere();
    let home = world.home.path().canonicalize().unwrap();
    for release in ["releases/6", "releases/7"] {
        fs::create_dir_all(home.join(release)).unwrap();
        fs::write(home.join(release).join(&release[9..]), release).unwrap();
        let _ = fs::remove_file(home.join("current"));
        std::os::unix::fs::symlink(release, home.join("current")).unwrap();
        let output = world.offsite(["run", "--dirs", "current"]);
        assert_eq!(output.code, 0, "{output:?}");
        let started = output.event("source_started");
        let directory = home.join("current").display().to_string();
        assert_eq!(started["place"], directory);
        assert!(output.events_named("notice").is_empty(), "{output:?}");
    }
    // What is opened is what was written: `..` after a link is not where the link is.
    fs::create_dir_all(home.join("deep/down")).unwrap();
    fs::create_dir_all(home.join("deep/data")).unwrap();
    fs::write(home.join("deep/data/at the bottom"), "").unwrap();
    std::os::unix::fs::symlink("deep/down", home.join("link")).unwrap();
    let output = world.offsite(["run", "--dirs", "link/../data"]);
    assert_eq!(output.code, 0, "{output:?}");
    let listed = world.offsite(["list", "latest", "--source", "link/../data"]);
    assert!(listed.stdout.contains("at the bottom"), "{listed:?}");
}

#[test]
fn a_name_is_taken_before_a_directory() {
    let world = World::new();
    for directory in ["data", "other"] {
        let directory = world.path(directory);
        let _ = fs::create_dir(&directory);
        fs::write(directory.join("file"), "").unwrap();
    }
    world.configure(&format!(
        "backup:\n  s3: {{bucket: backups, prefix: team/}}\n  sources:\n    \
         - {{name: data, directory: {0}/other}}\n    - {{name: more, directory: {0}/data}}\n",
        world.home.path().display()
    ));
    let sources = |wanted: &str| {
        let output = world.offsite(["run", "--source", wanted]);
        assert_eq!(output.code, 0, "{output:?}");
        let started = output.events_named("source_started");
        let name = |event: &Value| event["source"].as_str().unwrap().to_owned();
        started.iter().map(name).collect::<Vec<_>>()
    };
    assert_eq!(sources("data"), ["data"]);
    assert_eq!(sources("./data"), ["more"]);
    assert_eq!(sources("other/../other"), ["data"]);
}

/// The warning in `offsite status`, if there is one.
fn warning(world: &World) -> Option<String> {
    let status = world.offsite(["status"]);
    assert_eq!(status.code, 0, "{status:?}");
    let mut lines = status.stdout.lines();
    let warning = lines.find(|line| line.starts_with("warning: "));
    warning.map(str::to_owned)
}

#[test]
fn two_directories_that_take_turns_under_one_name_are_told() {
    let world = World::new();
    let run = |directory: &str| -> Output {
        let path = world.path(directory);
        let _ = fs::create_dir(&path);
        fs::write(path.join("file"), directory).unwrap();
        world.configure(&format!(
            "backup:\n  s3: {{bucket: backups, prefix: team/}}\n  sources: [{{name: data, directory: {}}}]\n",
            path.display()
        ));
        world.back_up()
    };
    let told = |output: &Output| {
        [
            output.events_named("notice").len(),
            output.events_named("origin_returned").len(),
        ]
    };
    // A directory that moves is told once.
    for (directory, expected) in [
        ("one", [0, 0]),
        ("one", [0, 0]),
        ("two", [1, 0]),
        ("two", [0, 0]),
    ] {
        assert_eq!(told(&run(directory)), expected, "{directory}");
        assert_eq!(warning(&world), None);
    }
    // One that is back is told each time.
    let back = run("one");
    assert_eq!(told(&back), [0, 1]);
    let event = back.event("origin_returned");
    assert_eq!(event["level"], "WARN");
    let path = |name: &str| world.path(name).display().to_string();
    assert_eq!(event["origin"]["place"], path("one"));
    assert_eq!(event["other"]["place"], path("two"));
    let before = &world.snapshots()[3];
    assert_eq!(event["other"]["last"], **before);
    assert_eq!(told(&run("two")), [0, 1]);
    assert_eq!(told(&run("two")), [0, 0]);
    let warning = warning(&world).unwrap();
    for name in ["one", "two"] {
        assert!(warning.contains(&path(name)), "{warning}");
    }
    assert!(warning.contains("another name"), "{warning}");
    // A pass that fails leaves what is known of the snapshots as it is.
    fs::remove_dir_all(world.path("two")).unwrap();
    assert_eq!(world.offsite(["run"]).code, 1);
    assert!(self::warning(&world).is_some());
    // Half a year later it is over.
    run("two");
    let day = std::time::Duration::from_secs(24 * 3600);
    world.server.clock().advance(180 * day);
    run("two");
    assert_eq!(self::warning(&world), None);
}

#[test]
fn two_hosts_that_take_turns_under_one_name_are_told() {
    let world = World::new();
    world.write("file", "contents");
    let run_on = |host: &str| {
        let command = world.command(["run"]);
        let mut named = Command::new("unshare");
        let script = "hostname \"$0\" && exec \"$@\"";
        named.args(["--uts", "--map-root-user", "sh", "-ec", script, host]);
        named.arg(command.get_program()).args(command.get_args());
        named.env_clear().current_dir(world.home.path());
        let environment = command.get_envs();
        named.envs(environment.filter_map(|(name, value)| Some((name, value?))));
        let output = finish(named.output().unwrap());
        assert_eq!(output.code, 0, "{output:?}");
        assert!(output.events_named("notice").is_empty(), "{output:?}");
        output.events_named("origin_returned")
    };
    assert!(run_on("web-1").is_empty());
    assert!(run_on("web-2").is_empty());
    let told = run_on("web-1");
    assert_eq!(told[0]["origin"]["machine"], "host web-1");
    assert_eq!(told[0]["other"]["machine"], "host web-2");
    assert!(warning(&world).unwrap().contains("host web-2"));
}

#[test]
fn a_pod_with_a_new_name_each_night_is_no_other_origin() {
    let mut world = World::new();
    world.write("file", "contents");
    world.env("KUBERNETES_SERVICE_HOST", "10.96.0.1");
    for (namespace, pod, told) in [
        ("shop", "offsite-1", false),
        ("shop", "offsite-2", false),
        // Also where a name comes back by chance.
        ("shop", "offsite-1", false),
        ("staging", "offsite-3", false),
        ("shop", "offsite-4", true),
    ] {
        world.env("POD_NAME", pod);
        world.env("POD_NAMESPACE", namespace);
        let output = world.back_up();
        let events = output.events_named("origin_returned");
        assert_eq!(!events.is_empty(), told, "{namespace}/{pod}");
    }
}
