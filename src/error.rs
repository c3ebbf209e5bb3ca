//! How a command fails: what happened, why, what to do about it, and the exit code.
//!
//! Rules: errors below this module are `thiserror` enums whose `Display` is one lower-case phrase
//! without a full stop, with literals in backticks, and does not repeat its source. Whoever turns
//! one into a [`Failure`] decides the exit code and the hint. What people see is
//!
//! ```text
//! error: what happened
//! caused by: why
//!
//! hint: what mends it
//! ```

use std::fmt;

use crate::config::ConfigError;
use crate::ecs::{EcsError, LaunchError};
use crate::exit::ExitCode;
use crate::lease::LeaseError;
use crate::pass::error::SourceError;
use crate::restore::PlanError;
use crate::snapshots::select::SelectError;
use crate::store::StoreError;

/// A command that failed.
#[derive(Debug)]
pub struct Failure {
    /// What the process exits with.
    pub exit_code: ExitCode,
    /// What happened.
    pub error: anyhow::Error,
    /// What mends it.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure that is nobody's error type.
    #[must_use]
    pub fn new(exit_code: ExitCode, message: impl Into<String>) -> Self {
        Self {
            exit_code,
            error: anyhow::Error::msg(message.into()),
            hint: None,
        }
    }

    /// With a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.error)?;
        for cause in self.error.chain().skip(1) {
            write!(f, "\ncaused by: {cause}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n\nhint: {hint}")?;
        }
        Ok(())
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self {
            exit_code: ExitCode::Usage,
            hint: Some("`offsite init` writes an annotated configuration to start from".to_owned()),
            error: error.into(),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self {
            exit_code: error.kind.exit_code(),
            hint: error.kind.hint().map(str::to_owned),
            error: error.into(),
        }
    }
}

impl From<LeaseError> for Failure {
    fn from(error: LeaseError) -> Self {
        Self {
            exit_code: error.exit_code(),
            hint: error.hint().map(str::to_owned),
            error: error.into(),
        }
    }
}

impl From<SelectError> for Failure {
    fn from(error: SelectError) -> Self {
        Self {
            exit_code: error.exit_code(),
            hint: error.hint(),
            error: error.into(),
        }
    }
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        Self {
            exit_code: error.exit_code(),
            hint: error.hint(),
            error: error.into(),
        }
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Store(error) => error.into(),
            other => Self {
                exit_code: ExitCode::Failed,
                error: other.into(),
                hint: None,
            },
        }
    }
}

impl From<LaunchError> for Failure {
    fn from(error: LaunchError) -> Self {
        let (exit_code, hint) = match &error {
            LaunchError::Ecs(EcsError::Denied { .. }) => (
                ExitCode::Denied,
                Some(
                    "it needs ecs:RunTask, ecs:DescribeTasks, with a command ecs:DescribeTaskDefinition, and iam:PassRole for the roles of the task definition",
                ),
            ),
            LaunchError::Ecs(EcsError::Credentials { .. }) => (
                ExitCode::Denied,
                Some("set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"),
            ),
            LaunchError::Ecs(EcsError::Region { .. }) => {
                (ExitCode::Usage, Some("set AWS_REGION, or give --region"))
            }
            LaunchError::Ecs(EcsError::Failed { .. }) | LaunchError::NotStarted(_) => {
                (ExitCode::Failed, None)
            }
            LaunchError::WhichContainer(_) | LaunchError::NoContainer(..) => {
                (ExitCode::Usage, Some("name one with --container"))
            }
            LaunchError::Forgotten(_) => (
                ExitCode::Failed,
                Some("its log says how it went; ECS keeps stopped tasks for an hour"),
            ),
        };
        Self {
            exit_code,
            error: error.into(),
            hint: hint.map(str::to_owned),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self {
            exit_code: ExitCode::Failed,
            error: error.into(),
            hint: None,
        }
    }
}
