//! Whether a task still runs, by `DescribeTasks`.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_ecs::Client;
use aws_sdk_ecs::config::http::HttpResponse;
use aws_sdk_ecs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ecs::types::Task;

use crate::aws::cause::{Cause, NoCredentials, cause};
use crate::aws::connector::{Noting, client, connector};
use crate::aws::credentials::Keeper;

/// For one request with everything that is tried again, and for credentials before it; whoever asks has
/// something else to do.
const PATIENCE: Duration = Duration::from_secs(20);

/// What ECS does not do for us.
#[derive(Debug, thiserror::Error)]
pub enum EcsError {
    /// The credentials have no permission, or there are none.
    #[error("ECS refused {operation}: {message}")]
    Denied {
        /// Such as `DescribeTasks`.
        operation: &'static str,
        /// What ECS said.
        message: String,
    },
    /// There are no credentials to ask with, and will not be.
    #[error("no usable credentials for {operation}: {message}")]
    Credentials {
        /// Such as `DescribeTasks`.
        operation: &'static str,
        /// Who was asked for them, and what came of it.
        message: String,
    },
    /// Nobody says which region to ask in.
    #[error("no region for {operation}: {message}")]
    Region {
        /// Such as `DescribeTasks`.
        operation: &'static str,
        /// What the SDK says.
        message: String,
    },
    /// Anything else.
    #[error("ECS could not do {operation}: {message}")]
    Failed {
        /// Such as `DescribeTasks`.
        operation: &'static str,
        /// What ECS said, or did not.
        message: String,
    },
}

impl EcsError {
    pub(super) fn of<E>(operation: &'static str) -> impl FnOnce(SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        move |error| {
            let Some(answer) = error.raw_response() else {
                return match cause(&error) {
                    Cause::Credentials(error) => Self::no_credentials(operation, error),
                    Cause::Region(message) => Self::Region { operation, message },
                    Cause::Transport(message) => Self::Failed { operation, message },
                };
            };
            let message = match (error.code(), error.message()) {
                (Some(code), Some(message)) => format!("{code}: {message}"),
                (Some(code), None) => code.to_owned(),
                (None, _) => format!("it answers with status {}", answer.status().as_u16()),
            };
            match error.code() {
                Some(
                    "AccessDeniedException"
                    | "UnrecognizedClientException"
                    | "ExpiredTokenException"
                    | "InvalidSignatureException",
                ) => Self::Denied { operation, message },
                _ => Self::Failed { operation, message },
            }
        }
    }
}

impl EcsError {
    fn no_credentials(operation: &'static str, error: NoCredentials) -> Self {
        match error {
            NoCredentials::Refused(message) => Self::Credentials { operation, message },
            NoCredentials::Unavailable(text) | NoCredentials::ClockSkew(text) => Self::Failed {
                operation,
                message: format!("cannot get credentials: {text}"),
            },
        }
    }
}

/// How a task that does not run any more came to its end, in ECS's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Why it stopped; empty where ECS has forgotten it.
    pub reason: String,
}

/// The tasks of a cluster.
pub struct Tasks {
    pub(super) client: Client,
    pub(super) cluster: String,
    credentials: Option<Keeper>,
}

impl Tasks {
    /// Tasks of `cluster`, in `region` or where the environment says. Credentials are looked for at
    /// the first request.
    pub async fn of(cluster: String, region: Option<String>) -> Self {
        let answers = Noting::new(connector());
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(answers.http_client())
            .timeout_config(TimeoutConfig::builder().operation_timeout(PATIENCE).build());
        if let Some(region) = region {
            loader = loader.region(Region::new(region));
        }
        let config = loader.load().await;
        let credentials = Keeper::of(&config, answers, PATIENCE);
        let mut ecs = aws_sdk_ecs::config::Builder::from(&config);
        ecs.set_http_client(Some(client(connector())));
        if let Some(credentials) = &credentials {
            credentials.give_to(|provider, cache| {
                ecs.set_credentials_provider(Some(provider));
                ecs.set_identity_cache(cache);
            });
        }
        Self {
            client: Client::from_conf(ecs.build()),
            cluster,
            credentials,
        }
    }

    /// Waits for credentials to ask with.
    pub(super) async fn ready(&self, operation: &'static str) -> Result<(), EcsError> {
        if let Some(credentials) = &self.credentials {
            let ready = credentials.ready().await;
            ready.map_err(|error| EcsError::no_credentials(operation, error))?;
        }
        Ok(())
    }

    /// The cluster of `task`, in the region that its ARN names.
    pub async fn holding(task: &str, cluster: String) -> Self {
        Self::of(cluster, region_of(task)).await
    }

    /// Whether a task has ended: it is `STOPPED`, or ECS, which keeps stopped tasks for an hour, does
    /// not know it any more.
    ///
    /// # Errors
    /// ECS does not say.
    pub async fn ended(&self, task: &str) -> Result<Option<Ended>, EcsError> {
        Ok(match self.describe(task).await? {
            None => Some(Ended {
                reason: String::new(),
            }),
            Some(found) if found.last_status() == Some("STOPPED") => Some(Ended {
                reason: found.stopped_reason().unwrap_or_default().to_owned(),
            }),
            Some(_) => None,
        })
    }

    /// What ECS knows of a task; `None` where it has none like this.
    pub(super) async fn describe(&self, task: &str) -> Result<Option<Task>, EcsError> {
        const OPERATION: &str = "DescribeTasks";
        self.ready(OPERATION).await?;
        let answer = self
            .client
            .describe_tasks()
            .cluster(&self.cluster)
            .tasks(task)
            .send()
            .await
            .map_err(EcsError::of(OPERATION))?;
        if let Some(found) = answer.tasks.unwrap_or_default().into_iter().next() {
            return Ok(Some(found));
        }
        let failures = answer.failures.unwrap_or_default();
        match failures.iter().map(|failure| failure.reason()).next() {
            Some(Some("MISSING")) => Ok(None),
            reason => Err(EcsError::Failed {
                operation: OPERATION,
                message: reason
                    .flatten()
                    .unwrap_or("neither task nor reason")
                    .to_owned(),
            }),
        }
    }
}

/// The region in an ARN: `arn:aws:ecs:REGION:…`.
fn region_of(arn: &str) -> Option<String> {
    let region = arn.split(':').nth(3)?;
    (!region.is_empty()).then(|| region.to_owned())
}
