# The task: one container, one pass, and it exits.

resource "aws_ecs_cluster" "this" {
  count = var.cluster_arn == null ? 1 : 0

  name = var.name
  tags = local.tags
}

locals {
  cluster_arn = var.cluster_arn == null ? aws_ecs_cluster.this[0].arn : var.cluster_arn

  backup_config = try(var.config.backup, {})
  sources       = try([for source in local.backup_config.sources : source], [])
  # Of files. Without them every volume is backed up, beside the buckets.
  has_sources = length(local.sources) > 0 || try(length(local.backup_config.s3.include_dirs), 0) > 0

  # Whose store it is; null for nobody's.
  configured_owner = try(tostring(local.backup_config.store_owner), null)
  store_owner = try(coalesce(
    var.store_owner,
    local.configured_owner,
    var.store_owner == null ? var.name : null,
  ), null)

  # The configuration as it was given, with what permissions and alarms rest on in its place: the bucket,
  # the prefix, and events as JSON.
  rendered_config = yamlencode({
    backup = merge(local.backup_config, local.store_owner == null ? {} : { store_owner = local.store_owner }, {
      for key, value in { defaults = merge(try(local.backup_config.defaults, {}), { retention = local.retention }) } : key => value if local.retention != null
      }, {
      for key, value in { sources = concat(local.sources, local.sources_of_buckets) } : key => value if length(local.sources_of_buckets) > 0
      }, {
      s3 = merge(
        try(local.backup_config.s3, {}),
        local.has_sources || length(var.volumes) == 0 ? {} : { include_dirs = var.volumes[*].container_path },
        { bucket = var.bucket_name, prefix = local.prefix },
      )
      log = merge(try(local.backup_config.log, {}), { format = "json" })
    })
  })

  environment = merge(var.environment, { BACKUP_CONFIG_YAML = local.rendered_config })

  container_name = "offsite"
  container = {
    name      = local.container_name
    image     = var.image
    essential = true
    command   = var.command

    # Not root, no capabilities, and nothing to write to.
    user                   = tostring(local.unprivileged_id)
    readonlyRootFilesystem = true
    linuxParameters        = { capabilities = { drop = ["ALL"] } }

    # On SIGTERM a pass finishes what is in flight and releases the lock. 120 seconds are Fargate's most.
    stopTimeout = 120

    environment = [for name in sort(keys(local.environment)) : { name = name, value = local.environment[name] }]
    secrets     = [for name in sort(keys(var.secrets)) : { name = name, valueFrom = var.secrets[name] }]

    mountPoints = [for volume in var.volumes : { sourceVolume = volume.name, containerPath = volume.container_path, readOnly = true }]

    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.this.name
        awslogs-region        = local.region
        awslogs-stream-prefix = "pass"
      }
    }
  }
}

resource "aws_ecs_task_definition" "this" {
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory
  task_role_arn            = aws_iam_role.task.arn
  execution_role_arn       = aws_iam_role.execution.arn
  container_definitions    = jsonencode([local.container])
  tags                     = local.tags

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.cpu_architecture
  }

  dynamic "volume" {
    for_each = local.volumes
    content {
      name = volume.value.name
      efs_volume_configuration {
        file_system_id     = volume.value.file_system_id
        transit_encryption = "ENABLED"
        authorization_config {
          access_point_id = volume.value.access_point_id
          iam             = "ENABLED"
        }
      }
    }
  }

  lifecycle {
    precondition {
      condition     = local.has_sources || length(var.volumes) > 0 || length(var.bucket_sources) > 0
      error_message = "There is nothing to back up: name volumes, bucket_sources, or sources in config."
    }
    precondition {
      # A task definition has 64 KiB at most, and other things in it.
      condition     = length(local.rendered_config) <= 49152
      error_message = "config is longer than the 48 KiB that fit into a task definition: put what sources have in common under `defaults`."
    }
  }
}
