//! Running a task now, and waiting for it.

use std::time::Duration;

use aws_sdk_ecs::types::{
    AssignPublicIp, AwsVpcConfiguration, CapacityProviderStrategyItem, ContainerOverride,
    LaunchType, NetworkConfiguration, Task, TaskOverride,
};

use super::{EcsError, Tasks};

/// How often a task is looked at. Starting one on Fargate takes half a minute or so.
const POLL: Duration = Duration::from_secs(3);

/// What a task runs on.
#[derive(Debug, Clone)]
pub enum Capacity {
    /// `FARGATE`, `EC2` or `EXTERNAL`.
    LaunchType(String),
    /// A capacity provider of the cluster.
    Provider(String),
}

/// What to run.
#[derive(Debug, Clone)]
pub struct Launch {
    /// Family, family and revision, or ARN.
    pub task_definition: String,
    /// Subnets, for tasks with an address of their own, as all on Fargate have.
    pub subnets: Vec<String>,
    /// Security groups of that address; the VPC's default without any.
    pub security_groups: Vec<String>,
    /// Whether it is reached, and reaches others, by a public address.
    pub assign_public_ip: bool,
    /// What it runs on.
    pub capacity: Capacity,
    /// The container that counts and that `command` is for; the only one without a name.
    pub container: Option<String>,
    /// Instead of the task definition's command.
    pub command: Vec<String>,
}

/// A task that has stopped.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Launched {
    /// Its ARN.
    pub task_arn: String,
    /// The container that counts.
    pub container: String,
    /// What that exited with; absent where it never ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Why the task stopped, in ECS's words.
    pub stopped_reason: String,
    /// What ECS says of the container besides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_reason: Option<String>,
}

/// Why no task ran.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// A request failed.
    #[error(transparent)]
    Ecs(#[from] EcsError),
    /// ECS took the request and started nothing.
    #[error("ECS started no task: {0}")]
    NotStarted(String),
    /// Several containers, and none was named.
    #[error("the task has several containers: {}", .0.join(", "))]
    WhichContainer(Vec<String>),
    /// There is no such container.
    #[error("the task has no container `{0}`, but {list}", list = .1.join(", "))]
    NoContainer(String, Vec<String>),
    /// The task is gone, and ECS does not say how it ended.
    #[error("ECS no longer knows task `{0}`")]
    Forgotten(String),
}

impl Tasks {
    /// Starts a task; its ARN.
    ///
    /// # Errors
    /// It was not started.
    pub async fn start(&self, launch: &Launch) -> Result<String, LaunchError> {
        let container = match (&launch.container, launch.command.is_empty()) {
            (_, true) => None,
            (Some(container), false) => Some(container.clone()),
            (None, false) => Some(self.only_container(&launch.task_definition).await?),
        };
        let overrides = container.map(|name| {
            let container = ContainerOverride::builder()
                .name(name)
                .set_command(Some(launch.command.clone()))
                .build();
            TaskOverride::builder()
                .container_overrides(container)
                .build()
        });
        self.ready("RunTask").await?;
        let request = self.client.run_task();
        let request = match &launch.capacity {
            Capacity::LaunchType(name) => request.launch_type(LaunchType::from(name.as_str())),
            Capacity::Provider(name) => request.capacity_provider_strategy(
                CapacityProviderStrategyItem::builder()
                    .capacity_provider(name)
                    .weight(1)
                    .build()
                    .map_err(|error| LaunchError::NotStarted(error.to_string()))?,
            ),
        };
        let answer = request
            .cluster(&self.cluster)
            .task_definition(&launch.task_definition)
            .set_network_configuration(network(launch))
            .set_overrides(overrides)
            .started_by("offsite launch")
            .send()
            .await
            .map_err(EcsError::of("RunTask"))?;
        let started = answer.tasks.unwrap_or_default().into_iter().next();
        if let Some(arn) = started.and_then(|task| task.task_arn) {
            return Ok(arn);
        }
        let failures = answer.failures.unwrap_or_default();
        let failure = failures.first().map(|failure| {
            let detail = failure.detail().map(|detail| format!(" ({detail})"));
            format!(
                "{}{}",
                failure.reason().unwrap_or("no reason"),
                detail.unwrap_or_default()
            )
        });
        let reason = failure.unwrap_or_else(|| "it says neither task nor reason".to_owned());
        Err(LaunchError::NotStarted(reason))
    }

    /// Waits until a task has stopped. `on_status` is told whenever it is in another state.
    ///
    /// # Errors
    /// ECS does not say what becomes of it.
    pub async fn wait(
        &self,
        task_arn: &str,
        container: Option<&str>,
        on_status: impl Fn(&str),
    ) -> Result<Launched, LaunchError> {
        let mut told = String::new();
        loop {
            let Some(task) = self.describe(task_arn).await? else {
                return Err(LaunchError::Forgotten(task_arn.to_owned()));
            };
            let status = task.last_status().unwrap_or("UNKNOWN");
            if status != told {
                on_status(status);
                told = status.to_owned();
            }
            if status == "STOPPED" {
                return ended(&task, task_arn, container);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn only_container(&self, task_definition: &str) -> Result<String, LaunchError> {
        self.ready("DescribeTaskDefinition").await?;
        let answer = self
            .client
            .describe_task_definition()
            .task_definition(task_definition)
            .send()
            .await
            .map_err(EcsError::of("DescribeTaskDefinition"))?;
        let definition = answer
            .task_definition
            .unwrap_or_else(|| aws_sdk_ecs::types::TaskDefinition::builder().build());
        let names = definition.container_definitions().iter();
        only(names.filter_map(|container| container.name()))
    }
}

fn only<'a>(names: impl Iterator<Item = &'a str>) -> Result<String, LaunchError> {
    let mut names: Vec<_> = names.map(str::to_owned).collect();
    match names.len() {
        1 => Ok(names.remove(0)),
        _ => Err(LaunchError::WhichContainer(names)),
    }
}

fn network(launch: &Launch) -> Option<NetworkConfiguration> {
    if launch.subnets.is_empty() {
        return None;
    }
    let vpc = AwsVpcConfiguration::builder()
        .set_subnets(Some(launch.subnets.clone()))
        .set_security_groups(
            (!launch.security_groups.is_empty()).then(|| launch.security_groups.clone()),
        )
        .assign_public_ip(match launch.assign_public_ip {
            true => AssignPublicIp::Enabled,
            false => AssignPublicIp::Disabled,
        })
        .build()
        .ok()?;
    Some(
        NetworkConfiguration::builder()
            .awsvpc_configuration(vpc)
            .build(),
    )
}

fn ended(task: &Task, arn: &str, container: Option<&str>) -> Result<Launched, LaunchError> {
    let names = || task.containers().iter().filter_map(|found| found.name());
    let name = match container {
        Some(name) => name.to_owned(),
        None => only(names())?,
    };
    let found = task
        .containers()
        .iter()
        .find(|found| found.name() == Some(name.as_str()));
    let Some(found) = found else {
        return Err(LaunchError::NoContainer(
            name,
            names().map(str::to_owned).collect(),
        ));
    };
    Ok(Launched {
        task_arn: arn.to_owned(),
        exit_code: found.exit_code(),
        container_reason: found.reason().map(str::to_owned),
        stopped_reason: task.stopped_reason().unwrap_or_default().to_owned(),
        container: name,
    })
}
