# Two directories on EFS, every night at a quarter past two in Berlin, with mail when it does not happen.

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

  name        = "portal"
  bucket_name = var.bucket_name
  image       = var.image

  volumes = [
    { name = "data", container_path = "/data", file_system_id = var.file_system_id, path = "/data" },
    { name = "logs", container_path = "/logs", file_system_id = var.file_system_id, path = "/logs" },
  ]
  config = yamldecode(file("${path.module}/backup_config.yaml"))

  subnet_ids         = var.subnet_ids
  security_group_ids = var.security_group_ids

  schedule_expression = "cron(15 2 * * ? *)"
  schedule_timezone   = "Europe/Berlin"
  # Sundays at six: compare everything, and read back a twentieth of it.
  verify = { schedule_expression = "cron(0 6 ? * SUN *)" }

  # Everything of the last two weeks, then a snapshot a day, then one a month; the rest is condemned every morning at ten.
  retention                 = { keep_within = "14d", daily = 30, monthly = 12, timezone = "Europe/Berlin" }
  prune_enabled             = true
  prune_schedule_expression = "cron(0 10 * * ? *)"

  alarm_emails = var.alarm_emails
}

output "run_command" {
  description = "Starts a pass now, and waits for it."
  value       = module.backup.run_command
}

output "run_task_command" {
  description = "Starts a pass now, without the program."
  value       = module.backup.run_task_command
}

output "prune_command" {
  description = "Prunes now, and waits for it."
  value       = module.backup.prune_command
}

output "log_group_name" {
  description = "Where its events are."
  value       = module.backup.log_group_name
}

output "configuration" {
  description = "What the program is told."
  value       = module.backup.configuration
}
