# Four ways in which a backup is not there, and each is told: it failed, it is incomplete, it never started,
# it was never even attempted. The last is the alarm that has nothing to go by, so that missing data is it.

locals {
  alarms = merge({
    failed = {
      metric      = "BackupFailed"
      description = "A pass of the backup ${var.name} failed. Look for backup_failed and its hint in ${local.log_group}; the next pass continues where this one stopped."
      period      = 300
      threshold   = 1
    }
    incomplete = {
      metric      = "BackupIncomplete"
      description = "A pass of the backup ${var.name} was committed, but some files could not be read or sent. Look for file_unreadable and file_upload_failed in ${local.log_group}."
      period      = 300
      threshold   = 1
    }
    damaged = {
      metric      = "SegmentDamaged"
      description = "A part of the last manifest of the backup ${var.name} cannot be used; its contents are captured again. Run `offsite verify`, and find out who changed the bucket."
      period      = 300
      threshold   = 1
    }
    lock-held = {
      metric      = "LockHeld"
      description = "Passes of the backup ${var.name} found the lock held ${var.lock_held_alarm.count} times within ${var.lock_held_alarm.hours} h. Either passes take longer than the time between them, or a holder is stuck: `offsite unlock` shows who."
      period      = var.lock_held_alarm.hours * 3600
      threshold   = var.lock_held_alarm.count
    }
    loss = {
      metric      = "AnomalousLoss"
      description = "A pass of the backup ${var.name} found less than half of the entries or bytes of the snapshot before, which is kept until somebody says that this was meant. Look for anomalous_loss in ${local.log_group}; if it was meant, run `offsite ack`."
      period      = 300
      threshold   = 1
    }
    }, !local.has_retention ? {} : {
    prune-failed = {
      metric      = "PruneFailed"
      description = "A prune of the backup ${var.name} did not condemn what it should have. No snapshot is lost by that. Look for prune_failed and its hint in ${local.log_group}: if far more would go than the last time, somebody has to give the number."
      period      = 300
      threshold   = 1
    }
    }, length(local.configured_copies) == 0 ? {} : {
    copy-failed = {
      metric      = "CopyFailed"
      description = "A further bucket of the backup ${var.name} did not get everything. Look for copy_failed and its hint in ${local.log_group}; the next pass goes on with the copy."
      period      = 300
      threshold   = 1
    }
  })
}

resource "aws_cloudwatch_metric_alarm" "event" {
  for_each = local.alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = local.namespace
  metric_name         = each.value.metric
  statistic           = "Sum"
  period              = each.value.period
  evaluation_periods  = 1
  threshold           = each.value.threshold
  comparison_operator = "GreaterThanOrEqualToThreshold"
  # Nothing logged, nothing wrong; that nothing is logged at all is the next alarm's business.
  treat_missing_data = "notBreaching"
  alarm_actions      = values(local.topics)
  tags               = local.tags
}

# No pass has completed for so many hours. Hours in which nothing was logged have no data points, and
# for those CloudWatch looks further back than the alarm says and finds the last success again; FILL puts a
# zero into each hour, so that the alarm is on time. Before the first pass there is no metric to fill, and
# missing data is a breach too: a new deployment is in alarm until its first pass.
resource "aws_cloudwatch_metric_alarm" "missing" {
  count = var.missing_backup_hours == null ? 0 : 1

  alarm_name          = "${var.name}-missing"
  alarm_description   = "The backup ${var.name} has not completed for ${var.missing_backup_hours} h. Look at the schedule, at ${aws_sqs_queue.dead_letters.name}, at stopped tasks, and at the last events in ${local.log_group}."
  evaluation_periods  = var.missing_backup_hours
  datapoints_to_alarm = var.missing_backup_hours
  threshold           = 1
  comparison_operator = "LessThanThreshold"
  treat_missing_data  = "breaching"
  alarm_actions       = values(local.topics)
  ok_actions          = values(local.topics)
  tags                = local.tags

  metric_query {
    id = "completed"
    metric {
      namespace   = local.namespace
      metric_name = "BackupCompleted"
      stat        = "Sum"
      period      = 3600
    }
  }

  metric_query {
    id          = "filled"
    label       = "Passes that completed"
    expression  = "FILL(completed, 0)"
    return_data = true
  }
}

resource "aws_cloudwatch_metric_alarm" "not_started" {
  alarm_name          = "${var.name}-not-started"
  alarm_description   = "The task of the backup ${var.name} could not be started, and the attempts are in ${aws_sqs_queue.dead_letters.name}. Each message says why, in ERROR_CODE and ERROR_MESSAGE of its attributes. Empty the queue when it is mended: the alarm ends then."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = aws_sqs_queue.dead_letters.name }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = values(local.topics)
  tags                = local.tags
}

# Tasks that stopped with an error: what leaves no event behind, as a kill for want of memory (for ECS the
# program's own end, with exit code 137), an image that cannot be pulled, a volume that cannot be mounted.

locals {
  stopped_tasks = {
    clusterArn        = [local.cluster_arn]
    lastStatus        = ["STOPPED"]
    taskDefinitionArn = [for arn in concat([local.family_arn], var.prune_enabled ? [local.prune_family_arn] : []) : { prefix = "${arn}:" }]
  }

  task_rules = {
    task-failed = {
      description = "A task of the backup ${var.name} ended with an exit code that is an error."
      pattern = merge(local.stopped_tasks, {
        # As numbers, ascending: plans stay the same.
        containers = { exitCode = [{ "anything-but" = concat([0], [for code in sort([for code in var.quiet_exit_codes : format("%03d", code)]) : tonumber(code)]) }] }
      })
      message = "A task of the backup ${var.name} ended with an error. What exit codes mean is in docs/EXIT-CODES.md; what happened is in the log group ${local.log_group}. 137 is a kill, mostly for want of memory."
      fields  = { exit_code = "$.detail.containers[0].exitCode", task = "$.detail.taskArn" }
    }
    task-not-run = {
      description = "A task of the backup ${var.name} was stopped before or beside its program's own end."
      pattern = merge(local.stopped_tasks, {
        stopCode = [{ "anything-but" = ["EssentialContainerExited"] }]
      })
      message = "A task of the backup ${var.name} did not run to its end."
      fields  = { stop_code = "$.detail.stopCode", reason = "$.detail.stoppedReason", task = "$.detail.taskArn" }
    }
  }

  # One target for each rule and topic.
  task_targets = {
    for pair in setproduct(keys(local.task_rules), keys(local.topics)) :
    "${pair[0]} ${pair[1]}" => { rule = pair[0], topic = pair[1] }
  }
}

resource "aws_cloudwatch_event_rule" "task" {
  for_each = local.task_rules

  name        = "${var.name}-${each.key}"
  description = each.value.description
  event_pattern = jsonencode({
    source        = ["aws.ecs"]
    "detail-type" = ["ECS Task State Change"]
    detail        = each.value.pattern
  })
  tags = local.tags
}

resource "aws_cloudwatch_event_target" "task" {
  for_each = local.task_targets

  rule = aws_cloudwatch_event_rule.task[each.value.rule].name
  arn  = local.topics[each.value.topic]

  # Placeholders stand without quotes: EventBridge writes them as JSON, whatever is in the reason.
  # jsonencode would escape their angle brackets.
  input_transformer {
    input_paths = local.task_rules[each.value.rule].fields
    input_template = format("{%s}", join(", ", concat(
      ["\"message\": ${jsonencode(local.task_rules[each.value.rule].message)}"],
      [for field in keys(local.task_rules[each.value.rule].fields) : "\"${field}\": <${field}>"],
    )))
  }
}
