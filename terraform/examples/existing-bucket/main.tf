# Into a bucket that exists and has rules of its own, from a cluster that exists, started every hour by an
# EventBridge rule. Nothing of the bucket is changed.

terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.40, < 7.0"
    }
  }
}

provider "aws" {
  region = var.region
}

module "backup" {
  source = "../.."

  name          = "uploads"
  create_bucket = false
  bucket_name   = var.bucket_name
  prefix        = "teams/web/uploads/"
  kms_key_arn   = var.kms_key_arn

  image            = var.image
  cpu_architecture = "X86_64"
  cluster_arn      = var.cluster_arn

  # The access point that the application uses decides what can be read.
  volumes = [{
    name            = "uploads"
    container_path  = "/uploads"
    file_system_id  = var.file_system_id
    access_point_id = var.access_point_id
    root_access     = false
  }]
  environment = { OFFSITE_LIMITS__BANDWIDTH = "50MB/s" }

  # Public subnets without NAT.
  subnet_ids         = var.subnet_ids
  security_group_ids = var.security_group_ids
  assign_public_ip   = true

  use_event_rule       = true
  schedule_expression  = "rate(1 hour)"
  missing_backup_hours = 3

  alarm_topic_arns = [var.pager_topic_arn]
}

output "run_command" {
  description = "Starts a pass now, and waits for it."
  value       = module.backup.run_command
}

output "run_task_command" {
  description = "Starts a pass now, without the program."
  value       = module.backup.run_task_command
}

output "configuration" {
  description = "What the program is told."
  value       = module.backup.configuration
}
