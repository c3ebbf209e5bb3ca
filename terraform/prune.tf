# Keeping: which snapshots stay, and the task that condemns the others. Its role reads no contents and mounts no volume, and
# the backup's role never gets the right to delete.

locals {
  # The rules that were given, without those that were not.
  retention = var.retention == null ? null : { for rule, value in var.retention : rule => value if value != null }

  configured_retention = try(local.backup_config.defaults.retention, null)
  has_retention = (
    local.retention != null
    || local.configured_retention != null
    || anytrue([for source in local.sources : try(source.retention, null) != null])
    || anytrue([for name in concat(keys(var.environment), keys(var.secrets)) : can(regex("RETENTION", upper(name)))])
  )

  prune_family     = "${var.name}-prune"
  prune_family_arn = "arn:${local.partition}:ecs:${local.region}:${local.account}:task-definition/${local.prune_family}"

  # The same program and configuration, and nothing of what is backed up. It waits for the lock longer than most passes
  # take: one that still finds it held ends with 11, and the next one does its work.
  prune_container = merge(local.container, {
    command     = ["prune", "--wait-for-lock", "30m"]
    mountPoints = []
    logConfiguration = {
      logDriver = "awslogs"
      options   = merge(local.container.logConfiguration.options, { awslogs-stream-prefix = "prune" })
    }
  })

  prune_statements = concat(
    [
      local.find_objects,
      {
        # The lock, commit records, what prunes decided, and pins; no contents.
        Sid    = "ReadAndCondemnSnapshots"
        Effect = "Allow"
        Action = ["s3:GetObject", "s3:PutObject"]
        Resource = [
          "${local.bucket_arn}/${local.prefix}lock",
          "${local.bucket_arn}/${local.prefix}marks/*",
          "${local.bucket_arn}/${local.prefix}prunes/*",
          "${local.bucket_arn}/${local.prefix}snapshots/*",
        ]
      },
      local.see_other_tasks,
    ],
    [
      for actions in var.allow_delete ? [["s3:DeleteObject"]] : [] : {
        Sid      = "CollectSnapshots"
        Effect   = "Allow"
        Action   = actions
        Resource = [local.objects_arn]
      }
    ],
    local.encryption_statements,
  )
}

resource "aws_iam_role" "prune" {
  count = var.prune_enabled ? 1 : 0

  name                 = local.prune_family
  description          = "What pruning the backup ${var.name} may do."
  assume_role_policy   = local.ecs_tasks_trust
  permissions_boundary = var.permissions_boundary_arn
  tags                 = local.tags
}

resource "aws_iam_role_policy" "prune" {
  count = var.prune_enabled ? 1 : 0

  name   = "prune"
  role   = aws_iam_role.prune[0].id
  policy = jsonencode({ Version = "2012-10-17", Statement = local.prune_statements })
}

resource "aws_ecs_task_definition" "prune" {
  count = var.prune_enabled ? 1 : 0

  family                   = local.prune_family
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  # Fargate's smallest: a prune reads commit records, a few KiB each.
  cpu                   = 256
  memory                = 512
  task_role_arn         = aws_iam_role.prune[0].arn
  execution_role_arn    = aws_iam_role.execution.arn
  container_definitions = jsonencode([local.prune_container])
  tags                  = local.tags

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.cpu_architecture
  }
}
