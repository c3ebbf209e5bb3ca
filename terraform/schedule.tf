# What starts the task: EventBridge Scheduler, or an EventBridge rule where only those are allowed.
#
# Nothing here keeps two passes apart. The lock in the bucket does: a pass that finds it held exits with 11.

locals {
  schedules = merge(
    {
      backup = {
        name       = var.name
        expression = var.schedule_expression
        task       = aws_ecs_task_definition.this.arn
        input      = null
      }
    },
    var.verify == null ? {} : {
      verify = {
        name       = "${var.name}-verify"
        expression = var.verify.schedule_expression
        task       = aws_ecs_task_definition.this.arn
        input = jsonencode({
          containerOverrides = [{
            name    = local.container_name
            command = ["verify", "--read", var.verify.read]
          }]
        })
      }
    },
    {
      for name in var.prune_enabled ? [local.prune_family] : [] : "prune" => {
        name       = name
        expression = var.prune_schedule_expression
        task       = aws_ecs_task_definition.prune[0].arn
        input      = null
      }
    },
  )

  # Hours between two passes where a rate says so; 0 for cron expressions, which say it less plainly.
  rate = try(regex("^rate\\(([0-9]+) (minute|hour|day)s?\\)$", var.schedule_expression), null)
  hours_between_passes = (
    local.rate == null ? 0 : tonumber(local.rate[0]) * { minute = 1 / 60, hour = 1, day = 24 }[local.rate[1]]
  )

  schedule_group_arn = "arn:${local.partition}:scheduler:${local.region}:${local.account}:schedule-group/${var.name}"
  event_rule_arns    = [for schedule in local.schedules : "arn:${local.partition}:events:${local.region}:${local.account}:rule/${schedule.name}"]
}

resource "aws_scheduler_schedule_group" "this" {
  count = var.use_event_rule ? 0 : 1

  name = var.name
  tags = local.tags
}

resource "aws_scheduler_schedule" "this" {
  for_each = var.use_event_rule ? {} : local.schedules

  name                         = each.value.name
  group_name                   = aws_scheduler_schedule_group.this[0].name
  state                        = var.schedule_enabled ? "ENABLED" : "DISABLED"
  schedule_expression          = each.value.expression
  schedule_expression_timezone = var.schedule_timezone

  flexible_time_window {
    mode                      = var.schedule_flexible_minutes == 0 ? "OFF" : "FLEXIBLE"
    maximum_window_in_minutes = var.schedule_flexible_minutes == 0 ? null : var.schedule_flexible_minutes
  }

  target {
    arn      = local.cluster_arn
    role_arn = aws_iam_role.scheduler.arn
    input    = each.value.input

    ecs_parameters {
      task_definition_arn = each.value.task
      task_count          = 1
      launch_type         = "FARGATE"
      platform_version    = var.platform_version

      network_configuration {
        subnets          = var.subnet_ids
        security_groups  = var.security_group_ids
        assign_public_ip = var.assign_public_ip
      }
    }

    retry_policy {
      maximum_retry_attempts       = var.schedule_retries
      maximum_event_age_in_seconds = var.schedule_retry_seconds
    }

    dead_letter_config {
      arn = aws_sqs_queue.dead_letters.arn
    }
  }

  # A schedule that fires before its role may run the task would fail.
  depends_on = [aws_iam_role_policy.scheduler]
}

resource "aws_cloudwatch_event_rule" "schedule" {
  for_each = var.use_event_rule ? local.schedules : {}

  name                = each.value.name
  description         = "Starts ${each.value.name}."
  schedule_expression = each.value.expression
  state               = var.schedule_enabled ? "ENABLED" : "DISABLED"
  tags                = local.tags
}

resource "aws_cloudwatch_event_target" "schedule" {
  for_each = var.use_event_rule ? local.schedules : {}

  rule     = aws_cloudwatch_event_rule.schedule[each.key].name
  arn      = local.cluster_arn
  role_arn = aws_iam_role.scheduler.arn
  input    = each.value.input

  ecs_target {
    task_definition_arn = each.value.task
    task_count          = 1
    launch_type         = "FARGATE"
    platform_version    = var.platform_version

    network_configuration {
      subnets          = var.subnet_ids
      security_groups  = var.security_group_ids
      assign_public_ip = var.assign_public_ip
    }
  }

  retry_policy {
    maximum_retry_attempts       = var.schedule_retries
    maximum_event_age_in_seconds = var.schedule_retry_seconds
  }

  dead_letter_config {
    arn = aws_sqs_queue.dead_letters.arn
  }

  depends_on = [aws_iam_role_policy.scheduler, aws_sqs_queue_policy.dead_letters]
}

# Starts that came to nothing. An alarm says when something is in it.
resource "aws_sqs_queue" "dead_letters" {
  name = "${var.name}-dead-letters"
  # Fourteen days, the most: a weekend and a holiday are shorter.
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true
  tags                      = local.tags
}

# Scheduler writes with its role; a rule needs to be let in.
resource "aws_sqs_queue_policy" "dead_letters" {
  count = var.use_event_rule ? 1 : 0

  queue_url = aws_sqs_queue.dead_letters.url
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "events.amazonaws.com" }
      Action    = "sqs:SendMessage"
      Resource  = aws_sqs_queue.dead_letters.arn
      Condition = { ArnEquals = { "aws:SourceArn" = local.event_rule_arns } }
    }]
  })
}

locals {
  scheduler_statements = concat(
    [
      {
        Sid    = "RunTheTask"
        Effect = "Allow"
        Action = ["ecs:RunTask"]
        # Any revision: a schedule may still hold the last one while the new one is being put in place.
        Resource  = concat(["${local.family_arn}:*"], var.prune_enabled ? ["${local.prune_family_arn}:*"] : [])
        Condition = { ArnEquals = { "ecs:cluster" = local.cluster_arn } }
      },
      {
        Sid       = "GiveItItsRoles"
        Effect    = "Allow"
        Action    = ["iam:PassRole"]
        Resource  = concat([aws_iam_role.task.arn, aws_iam_role.execution.arn], aws_iam_role.prune[*].arn)
        Condition = { StringEquals = { "iam:PassedToService" = "ecs-tasks.amazonaws.com" } }
      },
    ],
    [
      for arn in var.use_event_rule ? [] : [aws_sqs_queue.dead_letters.arn] : {
        Sid      = "ReportFailedStarts"
        Effect   = "Allow"
        Action   = ["sqs:SendMessage"]
        Resource = [arn]
      }
    ],
  )
}

resource "aws_iam_role" "scheduler" {
  name        = "${var.name}-scheduler"
  description = "What EventBridge may do to start the backup ${var.name}."
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = var.use_event_rule ? "events.amazonaws.com" : "scheduler.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account }
        # Scheduler gives the group's ARN, not the schedule's.
        ArnEquals = { "aws:SourceArn" = var.use_event_rule ? local.event_rule_arns : [local.schedule_group_arn] }
      }
    }]
  })
  permissions_boundary = var.permissions_boundary_arn
  tags                 = local.tags
}

resource "aws_iam_role_policy" "scheduler" {
  name   = "start"
  role   = aws_iam_role.scheduler.id
  policy = jsonencode({ Version = "2012-10-17", Statement = local.scheduler_statements })
}
