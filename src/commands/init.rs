//! `offsite init`.

use std::io::{ErrorKind, Write};

use super::print;
use crate::cli::InitArgs;
use crate::error::Failure;
use crate::exit::ExitCode;

/// The annotated configuration, which is also the repository's own.
const TEMPLATE: &str = include_str!("../../backup_config.yaml");

pub(super) fn init(args: &InitArgs) -> Result<ExitCode, Failure> {
    if args.file.as_os_str() == "-" {
        print(TEMPLATE);
        return Ok(ExitCode::Complete);
    }
    let path = args.file.display();
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true);
    match args.force {
        true => options.truncate(true),
        false => options.create_new(true),
    };
    let written = options
        .open(&args.file)
        .and_then(|mut file| file.write_all(TEMPLATE.as_bytes()));
    match written {
        Ok(()) => {
            print(&format!(
                "wrote {path}; set `bucket` or `store`, and `include_dirs` in it, then try `offsite config` and `offsite plan`\n"
            ));
            Ok(ExitCode::Complete)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let message = format!("`{path}` is there already");
            Err(Failure::new(ExitCode::Usage, message).hint("replace it with --force"))
        }
        Err(error) => {
            let message = format!("`{path}` cannot be written: {error}");
            Err(Failure::new(ExitCode::Failed, message))
        }
    }
}
