# What one gets for a bucket, an image, a volume and a network.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  bucket_name        = "acme-backups"
  image              = "111122223333.dkr.ecr.us-east-2.amazonaws.com/offsite:0.1.0"
  subnet_ids         = ["subnet-0123456789abcdef0"]
  security_group_ids = ["sg-0123456789abcdef0"]
  volumes            = [{ name = "data", container_path = "/data", file_system_id = "fs-0123456789abcdef0" }]
}

run "the_container_cannot_write_and_is_not_root" {
  assert {
    condition = (
      local.container.readonlyRootFilesystem
      && local.container.user == "65532"
      && jsonencode(local.container.linuxParameters.capabilities.drop) == jsonencode(["ALL"])
      && alltrue(local.container.mountPoints[*].readOnly)
      && local.container.stopTimeout == 120
    )
    error_message = "The container is not locked down: ${jsonencode(local.container)}"
  }

  assert {
    condition     = one(aws_ecs_task_definition.this.runtime_platform).cpu_architecture == "ARM64"
    error_message = "The task is not ARM64."
  }

  assert {
    condition     = jsonencode(one(one(one(aws_ecs_task_definition.this.volume).efs_volume_configuration).authorization_config)) == jsonencode({ access_point_id = "fsap-0fedcba9876543210", iam = "ENABLED" })
    error_message = "The volume is not mounted by its access point with the task's role."
  }

  assert {
    condition     = one(one(aws_ecs_task_definition.this.volume).efs_volume_configuration).transit_encryption == "ENABLED"
    error_message = "What is read from the volume is not encrypted on its way."
  }
}

run "the_program_is_told_bucket_prefix_owner_format_and_volumes" {
  assert {
    condition = jsonencode(yamldecode(local.environment.BACKUP_CONFIG_YAML)) == jsonencode({
      backup = {
        s3  = { bucket = "acme-backups", prefix = "offsite/", include_dirs = ["/data"] }
        log = { format = "json" }

        store_owner = "offsite"
      }
    })
    error_message = "The configuration is ${local.environment.BACKUP_CONFIG_YAML}"
  }
}

run "the_task_may_do_what_a_pass_does_and_no_more" {
  assert {
    condition = sort(flatten(local.task_statements[*].Action)) == sort([
      "s3:ListBucket", "s3:ListBucketMultipartUploads", "s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload",
      "ecs:DescribeTasks", "elasticfilesystem:ClientMount", "elasticfilesystem:ClientRootAccess",
    ])
    error_message = "The task may ${jsonencode(flatten(local.task_statements[*].Action))}"
  }

  assert {
    condition     = alltrue([for statement in local.task_statements : jsonencode(statement.Resource) == jsonencode(["arn:aws:s3:::acme-backups/offsite/*"]) if statement.Sid == "ReadAndWriteBackups"])
    error_message = "The task may read and write outside its prefix."
  }
}

run "a_loss_is_an_alarm" {
  assert {
    condition     = aws_cloudwatch_metric_alarm.event["loss"].metric_name == "AnomalousLoss" && aws_cloudwatch_log_metric_filter.counter["AnomalousLoss"].pattern == "{ $.event = \"anomalous_loss\" }"
    error_message = "A loss is told to nobody."
  }
}

run "the_bucket_is_private_and_versioned" {
  assert {
    condition     = length(module.bucket) == 1 && length(module.lifecycle) == 1
    error_message = "There is no bucket, or it has no lifecycle."
  }
}

run "no_rule_deletes_anything_by_age_unless_asked" {
  assert {
    condition     = !anytrue([for rule in output.lifecycle_rules : startswith(rule, "expire-") && !startswith(rule, "expire-noncurrent")])
    error_message = "Rules: ${jsonencode(output.lifecycle_rules)}"
  }

  assert {
    condition     = length(setsubtract(["transition-fast", "transition-normal", "transition-delayed", "transition-deep-archive"], output.lifecycle_rules)) == 0
    error_message = "Rules: ${jsonencode(output.lifecycle_rules)}"
  }
}

run "a_missing_backup_is_an_alarm" {
  assert {
    condition = (
      aws_cloudwatch_metric_alarm.missing[0].treat_missing_data == "breaching"
      && aws_cloudwatch_metric_alarm.missing[0].evaluation_periods == 26
      && aws_cloudwatch_metric_alarm.missing[0].comparison_operator == "LessThanThreshold"
      && length(aws_cloudwatch_metric_alarm.missing[0].alarm_actions) == 1
    )
    error_message = "No alarm goes off when nothing happens."
  }
}

run "the_schedule_starts_the_task" {
  assert {
    condition = (
      length(aws_scheduler_schedule.this) == 1
      && length(aws_cloudwatch_event_rule.schedule) == 0
      && aws_scheduler_schedule.this["backup"].schedule_expression == "cron(15 2 * * ? *)"
      && aws_scheduler_schedule.this["backup"].flexible_time_window[0].mode == "OFF"
    )
    error_message = "The schedule is not what was asked for."
  }
}

run "rules_may_publish_without_a_condition_and_alarms_with_one" {
  assert {
    condition = jsonencode({
      for statement in jsondecode(aws_sns_topic_policy.alarms.policy).Statement : statement.Principal.Service => [statement.Action, try(statement.Condition, null)]
      }) == jsonencode({
      "cloudwatch.amazonaws.com" = ["sns:Publish", { StringEquals = { "aws:SourceAccount" = "111122223333" } }]
      "events.amazonaws.com"     = ["sns:Publish", null]
    })
    error_message = aws_sns_topic_policy.alarms.policy
  }
}

run "commands_start_a_pass" {
  assert {
    condition     = output.run_command == "offsite launch --region us-east-2 --cluster arn:aws:ecs:us-east-2:111122223333:cluster/offsite --task-definition offsite --subnets subnet-0123456789abcdef0 --security-groups sg-0123456789abcdef0"
    error_message = output.run_command
  }

  assert {
    condition     = output.run_task_command == "aws ecs run-task --region us-east-2 --cluster arn:aws:ecs:us-east-2:111122223333:cluster/offsite --task-definition offsite --launch-type FARGATE --platform-version LATEST --network-configuration '{\"awsvpcConfiguration\":{\"assignPublicIp\":\"DISABLED\",\"securityGroups\":[\"sg-0123456789abcdef0\"],\"subnets\":[\"subnet-0123456789abcdef0\"]}}'"
    error_message = output.run_task_command
  }
}

run "the_alarm_for_failed_starts_says_how_it_ends" {
  assert {
    condition     = endswith(aws_cloudwatch_metric_alarm.not_started.alarm_description, "Empty the queue when it is mended: the alarm ends then.")
    error_message = aws_cloudwatch_metric_alarm.not_started.alarm_description
  }
}

run "the_patterns_of_stopped_tasks_are_right" {
  # A kill for want of memory has exit code 137, and this stop code: the first rule tells it, the second one
  # does not.
  assert {
    condition     = jsonencode(jsondecode(aws_cloudwatch_event_rule.task["task-not-run"].event_pattern).detail.stopCode) == jsonencode([{ "anything-but" = ["EssentialContainerExited"] }])
    error_message = aws_cloudwatch_event_rule.task["task-not-run"].event_pattern
  }

  assert {
    condition     = jsonencode(jsondecode(aws_cloudwatch_event_rule.task["task-failed"].event_pattern).detail.containers.exitCode) == jsonencode([{ "anything-but" = [0, 3, 11] }])
    error_message = aws_cloudwatch_event_rule.task["task-failed"].event_pattern
  }

  assert {
    condition     = aws_cloudwatch_event_target.task["task-failed own"].input_transformer[0].input_template == "{\"message\": \"A task of the backup offsite ended with an error. What exit codes mean is in docs/EXIT-CODES.md; what happened is in the log group /offsite/offsite. 137 is a kill, mostly for want of memory.\", \"exit_code\": <exit_code>, \"task\": <task>}"
    error_message = aws_cloudwatch_event_target.task["task-failed own"].input_transformer[0].input_template
  }
}
