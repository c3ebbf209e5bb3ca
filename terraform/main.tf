# One scheduled, alarmed, restorable backup: a bucket, a Fargate task that runs `offsite run` and exits,
# a schedule that starts it, and alarms that say when it failed or did not happen.
#
# Each concern has its file. What several of them need is here.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  # `id` is the region's name in every version of the provider; `name` is deprecated in 6.x, and its
  # successor `region` is not in 5.x.
  region = data.aws_region.current.id

  # ARNs that follow from names are written out instead of read from resources: so policies are known,
  # and can be reviewed, in the plan.
  bucket_arn    = "arn:${local.partition}:s3:::${var.bucket_name}"
  objects_arn   = "${local.bucket_arn}/${local.prefix}*"
  log_group     = "/offsite/${var.name}"
  log_group_arn = "arn:${local.partition}:logs:${local.region}:${local.account}:log-group:${local.log_group}"
  family_arn    = "arn:${local.partition}:ecs:${local.region}:${local.account}:task-definition/${var.name}"

  # So that two backups in one bucket do not meet.
  prefix = var.prefix == null ? "${var.name}/" : var.prefix

  tags = merge({ Application = "offsite", Backup = var.name }, var.tags)
}
