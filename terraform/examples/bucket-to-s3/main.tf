# A bucket, every night, into another one: its images and documents, and what the restore role may write back.

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

  name        = "documents"
  bucket_name = var.bucket_name
  image       = var.image

  bucket_sources = [{
    name    = "documents"
    bucket  = var.source_bucket_name
    prefix  = "uploads/"
    only    = ["images", "documents"]
    exclude = ["*.tmp"]
    # By a role of its own, which no task has.
    restore = true
  }]

  schedule_expression = "cron(0 2 * * ? *)"
  verify              = { schedule_expression = "cron(0 6 ? * SUN *)", read = "0%" }

  subnet_ids         = var.subnet_ids
  security_group_ids = var.security_group_ids

  alarm_emails = var.alarm_emails
}

output "run_command" {
  description = "Starts a pass now, and waits for it."
  value       = module.backup.run_command
}

output "restore_role_arn" {
  description = "The role to take for `offsite restore --in-place`."
  value       = module.backup.restore_role_arn
}

output "configuration" {
  description = "What the program is told."
  value       = module.backup.configuration
}
