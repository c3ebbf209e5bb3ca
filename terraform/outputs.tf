# Where it is

output "bucket_name" {
  description = "Name of the bucket: for `offsite --bucket`."
  value       = local.bucket
}

output "prefix" {
  description = "Where in the bucket the backups are: for `offsite --prefix`."
  value       = local.prefix
}

output "store_owner" {
  description = "Whose store it is: for `OFFSITE_STORE_OWNER` of a pass that is started elsewhere; null for nobody's."
  value       = local.store_owner
}

# What runs

output "cluster_arn" {
  description = "ARN of the cluster the task runs in."
  value       = local.cluster_arn
}

output "task_definition_arn" {
  description = "ARN of the task definition, with its revision."
  value       = aws_ecs_task_definition.this.arn
}

output "task_role_arn" {
  description = "ARN of the program's role, for policies of file systems, keys and buckets."
  value       = aws_iam_role.task.arn
}

output "prune_task_definition_arn" {
  description = "ARN of the task definition of prune, with its revision; null without prune_enabled."
  value       = one(aws_ecs_task_definition.prune[*].arn)
}

output "prune_task_role_arn" {
  description = "ARN of the role of prune, for policies of keys and buckets; null without prune_enabled."
  value       = one(aws_iam_role.prune[*].arn)
}

output "restore_role_arn" {
  description = "ARN of the role that puts objects back into buckets, for policies of keys and buckets and for `role_arn` of a profile; null unless one of bucket_sources has restore."
  value       = one(aws_iam_role.restore[*].arn)
}

output "restore_policy" {
  description = "What that role may do, as JSON, for a role of your own; null likewise."
  value       = length(local.restorable) > 0 ? local.restore_policy : null
}

output "execution_role_arn" {
  description = "ARN of the role that ECS starts the task with, for policies of repositories and secrets."
  value       = aws_iam_role.execution.arn
}

output "scheduler_role_arn" {
  description = "ARN of the role that EventBridge starts the task with."
  value       = aws_iam_role.scheduler.arn
}

output "configuration" {
  description = "The configuration the program is given, as YAML: for `offsite config --config`."
  value       = local.rendered_config
}

output "access_point_ids" {
  description = "Ids of the EFS access points made here, by volume."
  value       = { for name, access_point in aws_efs_access_point.this : name => access_point.id }
}

# How to run it now, and how to look

locals {
  launch = {
    for family in [var.name, local.prune_family] : family => join(" ", concat(
      [
        "offsite launch --region ${local.region} --cluster ${local.cluster_arn} --task-definition ${family}",
        "--subnets ${join(",", var.subnet_ids)} --security-groups ${join(",", var.security_group_ids)}",
      ],
      var.assign_public_ip ? ["--assign-public-ip"] : [],
    ))
  }
}

output "run_command" {
  description = "A command that starts a pass now, waits for it and exits with its exit code. Needs the program, as `run_task_command` does not."
  value       = local.launch[var.name]
}

output "prune_command" {
  description = "A command that starts a prune now, waits for it and exits with its exit code; null without prune_enabled. With ` -- prune --dry-run` after it, the plan goes to the log."
  value       = var.prune_enabled ? local.launch[local.prune_family] : null
}

output "run_task_command" {
  description = "A command of the AWS CLI that starts a pass now, and does not wait for it."
  value = join(" ", [
    "aws ecs run-task --region ${local.region} --cluster ${local.cluster_arn}",
    "--task-definition ${var.name} --launch-type FARGATE --platform-version ${var.platform_version}",
    "--network-configuration '${jsonencode({ awsvpcConfiguration = {
      subnets        = var.subnet_ids
      securityGroups = var.security_group_ids
      assignPublicIp = var.assign_public_ip ? "ENABLED" : "DISABLED"
    } })}'",
  ])
}

output "log_group_name" {
  description = "Name of the log group: for `aws logs tail --follow`."
  value       = aws_cloudwatch_log_group.this.name
}

output "metric_namespace" {
  description = "Namespace of the metrics in CloudWatch."
  value       = local.namespace
}

output "alarm_topic_arn" {
  description = "ARN of the topic that alarms go to, for subscriptions other than mail."
  value       = aws_sns_topic.alarms.arn
}

output "alarm_names" {
  description = "Names of the alarms."
  value = concat(
    [for alarm in aws_cloudwatch_metric_alarm.event : alarm.alarm_name],
    aws_cloudwatch_metric_alarm.missing[*].alarm_name,
    [aws_cloudwatch_metric_alarm.not_started.alarm_name],
  )
}

output "dead_letter_queue_url" {
  description = "URL of the queue of starts that came to nothing."
  value       = aws_sqs_queue.dead_letters.url
}

output "dashboard_name" {
  description = "Name of the dashboard, or null."
  value       = one(aws_cloudwatch_dashboard.this[*].dashboard_name)
}

output "lifecycle_rules" {
  description = "Names of the lifecycle rules set here; empty where the bucket's own were left alone."
  value       = flatten(module.lifecycle[*].rule_ids)
}
