//! What `docs/FROM-MEDIA-BACKUP.md` says to people who come from the Media Backup System, run as it is written
//! there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use local_s3::LocalS3;

use crate::support::tree::{self, Tree, assert_same, settle};
use crate::support::{Output, World, finish};

fn page() -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/FROM-MEDIA-BACKUP.md");
    fs::read_to_string(page).unwrap()
}

/// The block of the page that follows a comment.
fn block(comment: &str) -> String {
    let page = page();
    let (_, after) = page.split_once(&format!("<!-- {comment}: ")).unwrap();
    let (_, block) = after.split_once("```bash\n").unwrap();
    block.split_once("```").unwrap().0.to_owned()
}

/// The new commands of the table, in order.
fn new_commands() -> Vec<String> {
    let page = page();
    let (_, table) = page.split_once("| before | now |").unwrap();
    let rows = table
        .lines()
        .skip(1)
        .take_while(|line| line.starts_with('|'));
    let cells = rows.filter_map(|row| row.split('|').nth(2));
    let commands = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    commands.map(str::to_owned).collect()
}

/// An application as its users have it: media, scripts beside it, and an old backup.
struct Application {
    world: World,
}

impl Application {
    fn new() -> Self {
        let server = LocalS3::builder().bucket("my-backups").start().unwrap();
        let application = Self {
            world: World::with_server(server),
        };
        fs::remove_file(application.world.path("backup_config.yaml")).unwrap();
        let scripts = application.scripts();
        for directory in [
            scripts.join("backups/media/full"),
            scripts.join("elsewhere"),
        ] {
            fs::create_dir_all(directory).unwrap();
        }
        fs::write(scripts.join(".env"), block(".env")).unwrap();
        fs::write(application.old_backup(), "an archive").unwrap();
        for file in ["avatars/1.png", "materials/algebra.pdf", "chat/1/2.jpg"] {
            let path = application.media().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        settle();
        application
    }

    /// Where commands are typed.
    fn scripts(&self) -> PathBuf {
        self.world.path("backup")
    }

    fn media(&self) -> PathBuf {
        self.world.path("backend/media")
    }

    fn old_backup(&self) -> PathBuf {
        let name = "backups/media/full/backup_20251227_020000.tar.gz";
        self.scripts().join(name)
    }

    fn now(&self) -> Tree {
        tree::read(&self.media())
    }

    /// What comes of commands in a shell that has read the variables.
    fn bash(&self, commands: &str) -> Output {
        let program = Path::new(env!("CARGO_BIN_EXE_offsite")).parent().unwrap();
        let others = std::env::var_os("PATH").unwrap();
        let path = [program.to_owned()]
            .into_iter()
            .chain(std::env::split_paths(&others));
        let credentials = self.world.server.credentials();
        let output = Command::new("bash")
            .args([
                "-c",
                &format!("set -eu\nset -a; . ./.env; set +a\n{commands}"),
            ])
            .env_clear()
            .env("PATH", std::env::join_paths(path).unwrap())
            .env("HOME", self.world.home.path())
            .env("AWS_ACCESS_KEY_ID", &credentials.access_key)
            .env("AWS_SECRET_ACCESS_KEY", &credentials.secret_key)
            .env("AWS_ENDPOINT_URL", self.world.server.endpoint())
            .current_dir(self.scripts())
            .output();
        finish(output.unwrap())
    }

    #[track_caller]
    fn runs(&self, commands: &str) -> Output {
        let output = self.bash(commands);
        assert_eq!(output.code, 0, "{commands}: {output:?}");
        output
    }
}

#[test]
fn each_new_command_does_what_the_page_says() {
    let application = Application::new();
    application.runs(&block("the first backup"));
    assert!(application.world.server.requests().is_empty());
    let commands = new_commands();
    assert!(commands.len() > 12, "{commands:?}");
    for command in &commands {
        application.runs(command);
        let listed = command
            .contains("s3://")
            .then(|| application.world.server.keys("my-backups"));
        assert!(listed.is_none_or(|keys| !keys.is_empty()), "{command}");
    }
    for restored in ["restored", "from-s3"] {
        let restored = tree::read(&application.scripts().join(restored));
        assert_same(&application.now(), &restored);
    }
    assert!(!application.scripts().join("other").exists());
    assert!(
        application
            .scripts()
            .join("elsewhere/snapshots/media")
            .exists()
    );
    assert_eq!(fs::read(application.old_backup()).unwrap(), b"an archive");
}

#[test]
fn media_are_restored_in_place_and_files_one_by_one() {
    let application = Application::new();
    application.runs(&block("the first backup"));
    let before = application.now();
    let avatar = application.media().join("avatars/1.png");
    let later = application.media().join("chat/later.jpg");

    fs::write(&avatar, "spoilt").unwrap();
    fs::write(&later, "since").unwrap();
    application.runs(&block("single files"));
    assert_eq!(fs::read(&avatar).unwrap(), b"avatars/1.png");
    assert!(later.exists());

    fs::write(&avatar, "spoilt").unwrap();
    application.runs(&block("restoring in place"));
    assert_same(&before, &application.now());
    let kept = || {
        let names = fs::read_dir(application.world.path("backend")).unwrap();
        let paths = names.map(|entry| entry.unwrap().path());
        paths
            .filter(|path| path.is_dir())
            .find(|path| *path != application.media())
    };
    let old = kept().unwrap();
    assert_eq!(fs::read(old.join("avatars/1.png")).unwrap(), b"spoilt");
    application.runs(&block("discarding what was there"));
    assert_eq!(kept(), None);
}

/// Until there is a bucket, the upload that was asked for is missing, and the backup on the disk is not.
#[test]
fn an_upload_that_fails_makes_the_pass_incomplete() {
    let application = Application::new();
    let run = "export AWS_S3_BUCKET=other-backups ENABLE_S3_UPLOAD=true; offsite run";
    let output = application.bash(run);
    assert_eq!(output.code, 3, "{output:?}");
    let listed = application.runs("offsite list");
    assert!(listed.stdout.contains("media"), "{listed:?}");
}
