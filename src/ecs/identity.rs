//! Which task this process runs in, by the task metadata endpoint.
//!
//! Source: <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4-fargate.html>

use std::time::Duration;

use aws_smithy_runtime_api::client::http::HttpConnector;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::byte_stream::ByteStream;
use serde::Deserialize;
use tokio::time::{sleep, timeout};

use crate::aws::connector::{capped, connector};
use crate::environment::Environment;

/// Where ECS says that the endpoint is, in every container it starts.
const ENDPOINT: &str = "ECS_CONTAINER_METADATA_URI_V4";

/// The endpoint is on the same machine, and may need a moment after the start.
const ATTEMPTS: u32 = 3;
const PATIENCE: Duration = Duration::from_secs(1);

/// The endpoint describes a task and its containers in a few kilobytes.
const ANSWER_BYTES: u64 = 1 << 20;

/// The task that a process runs in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Identity {
    /// ARN of the task.
    #[serde(rename = "TaskARN")]
    pub task: String,
    /// ARN or name of the cluster.
    #[serde(rename = "Cluster")]
    pub cluster: String,
}

impl Identity {
    /// Asks; `None` where this is not ECS.
    ///
    /// # Errors
    /// The endpoint is named and does not answer; the text says how.
    pub async fn find(environment: &Environment) -> Result<Option<Self>, String> {
        let Some(endpoint) = environment.variables.get(ENDPOINT) else {
            return Ok(None);
        };
        let url = format!("{endpoint}/task");
        let mut attempt = 1;
        loop {
            let asked = timeout(PATIENCE, ask(&url)).await;
            match asked.unwrap_or_else(|_| Err("it does not answer".to_owned())) {
                Ok(identity) => return Ok(Some(identity)),
                Err(error) if attempt == ATTEMPTS => {
                    return Err(format!("the task metadata endpoint `{url}`: {error}"));
                }
                Err(_) => sleep(PATIENCE / 4).await,
            }
            attempt += 1;
        }
    }
}

async fn ask(url: &str) -> Result<Identity, String> {
    let request = HttpRequest::get(url).map_err(|error| error.to_string())?;
    let answer = connector().call(request).await;
    let answer = answer.map_err(|error| format!("{error:?}"))?;
    let status = answer.status().as_u16();
    if status != 200 {
        return Err(format!("it answers with status {status}"));
    }
    let body = capped(answer.into_body(), ANSWER_BYTES);
    let body = ByteStream::new(body).collect().await;
    let body = body.map_err(|error| error.to_string())?.into_bytes();
    serde_json::from_slice(&body).map_err(|error| error.to_string())
}
