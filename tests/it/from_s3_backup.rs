//! What `docs/FROM-S3-BACKUP.md` says to people who copy their bucket by a script, run as it is written there.

use std::fs;
use std::path::Path;
use std::process::Command;

use local_s3::{Fault, LocalS3, Operation};

use crate::support::{Output, World, finish};

const BUCKET: &str = "walkeasy-nexus-documents";
const IMAGES: [&str; 3] = ["1.jpg", "2.jpg", "3.jpg"];

fn page() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/FROM-S3-BACKUP.md");
    fs::read_to_string(page).unwrap()
}

/// The block of the page that follows a comment.
fn block(comment: &str) -> String {
    let page = page();
    let (_, after) = page.split_once(&format!("<!-- {comment} -->")).unwrap();
    let (_, block) = after.split_once("```").unwrap();
    let (_, block) = block.split_once('\n').unwrap();
    block.split_once("```").unwrap().0.to_owned()
}

/// The new commands of the table, in order.
fn new_commands() -> Vec<String> {
    let page = page().replace("\\|", "");
    let (_, table) = page.split_once("| before | now |").unwrap();
    let rows = table
        .lines()
        .skip(1)
        .take_while(|line| line.starts_with('|'));
    let cells = rows.filter_map(|row| row.split('|').nth(2));
    let commands = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    commands.map(str::to_owned).collect()
}

/// A bucket as its users have it, with a folder that the script has left.
struct Clinic {
    world: World,
}

impl Clinic {
    fn new() -> Self {
        let server = LocalS3::builder().bucket(BUCKET).start().unwrap();
        let clinic = Self {
            world: World::with_server(server),
        };
        let config = clinic.world.path("backup_config.yaml");
        fs::write(config, block("backup_config.yaml")).unwrap();
        for image in IMAGES {
            let key = format!("filemaker-import/images-bulk-dump/{image}");
            clinic.put(&key, &image.repeat(400));
        }
        for document in ["a.pdf", "b.pdf"] {
            let key = format!("patients/u1/documents/{document}");
            clinic.put(&key, &document.repeat(180));
        }
        clinic.put("patients/u1/notes.json", "{}");
        clinic.put("backup/reimport_20251114_153045/Images/1.jpg", "old");
        clinic
    }

    fn put(&self, key: &str, body: &str) {
        self.world
            .server
            .replace(BUCKET, key, body.as_bytes().to_vec());
    }

    /// What comes of commands in a shell.
    fn bash(&self, commands: &str) -> Output {
        let program = Path::new(env!("CARGO_BIN_EXE_offsite")).parent().unwrap();
        let others = std::env::var_os("PATH").unwrap();
        let path = [program.to_owned()]
            .into_iter()
            .chain(std::env::split_paths(&others));
        let credentials = self.world.server.credentials();
        let output = Command::new("bash")
            .args(["-c", &format!("set -eu\n{commands}")])
            .env_clear()
            .env("PATH", std::env::join_paths(path).unwrap())
            .env("HOME", self.world.home.path())
            .env("AWS_ACCESS_KEY_ID", &credentials.access_key)
            .env("AWS_SECRET_ACCESS_KEY", &credentials.secret_key)
            .env("AWS_ENDPOINT_URL", self.world.server.endpoint())
            .current_dir(self.world.path("."))
            .output();
        finish(output.unwrap())
    }

    #[track_caller]
    fn runs(&self, commands: &str) -> Output {
        let output = self.bash(commands);
        assert_eq!(output.code, 0, "{commands}: {output:?}");
        output
    }

    /// How many objects the server has copied.
    fn copied(&self) -> usize {
        let requests = self.world.server.requests();
        let copies = requests
            .iter()
            .filter(|request| request.operation == Operation::CopyObject);
        copies.count()
    }
}

#[test]
fn each_new_command_does_what_the_page_says() {
    let clinic = Clinic::new();
    let commands = new_commands();
    assert!(commands.len() > 8, "{commands:?}");
    for command in &commands {
        clinic.runs(command);
    }
    // All of it once, and never what the script has left or what is neither image nor document.
    assert_eq!(clinic.copied(), 5);
    let document = fs::read_to_string(clinic.world.path("a.pdf")).unwrap();
    assert_eq!(document, "a.pdf".repeat(180));
    for image in IMAGES {
        let file = format!("restored/filemaker-import/images-bulk-dump/{image}");
        let restored = fs::read_to_string(clinic.world.path(&file)).unwrap();
        assert_eq!(restored, image.repeat(400));
    }
    assert!(!clinic.world.path("restored/patients").exists());
}

#[test]
fn the_summary_is_the_one_on_the_page() {
    let output = Clinic::new().runs("offsite plan");
    assert_eq!(output.stdout, block("what offsite plan prints"));
}

#[test]
fn a_reimport_starts_after_a_whole_backup_only() {
    let clinic = Clinic::new();
    let script = block("before a reimport").replace("python", "echo");
    let started = |output: &Output| output.stdout.contains("master_reimport.py --full");
    let refused = Fault::on(Operation::CopyObject).times(1);
    clinic
        .world
        .server
        .fault(refused.status(403, "AccessDenied"));
    let output = clinic.bash(&script);
    assert_eq!(output.code, 3, "{output:?}");
    assert!(!started(&output), "{output:?}");
    let output = clinic.runs(&script);
    assert!(started(&output), "{output:?}");
}

#[test]
fn what_a_reimport_has_lost_is_put_back_and_what_it_has_added_stays() {
    let clinic = Clinic::new();
    clinic.runs("offsite run");
    for image in IMAGES {
        let key = format!("filemaker-import/images-bulk-dump/{image}");
        clinic.world.server.remove(BUCKET, &key);
    }
    clinic.put("patients/u2/photo.jpg", "since");
    let page = page();
    let (_, section) = page.split_once("## Back into the bucket").unwrap();
    let commands: Vec<_> = section
        .lines()
        .filter_map(|line| line.strip_prefix("$ "))
        .collect();
    assert_eq!(commands.len(), 2, "{commands:?}");
    let planned = clinic.runs(commands[0]);
    assert!(
        planned
            .stdout
            .contains("create 3 (5.86 KiB), keep 0, replace 0"),
        "{planned:?}"
    );
    clinic.runs(commands[1]);
    let keys = clinic.world.server.keys(BUCKET);
    for image in IMAGES {
        let key = format!("filemaker-import/images-bulk-dump/{image}");
        assert!(keys.contains(&key), "{key}");
    }
    assert!(keys.iter().any(|key| key == "patients/u2/photo.jpg"));
}
