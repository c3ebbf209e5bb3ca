# Observation sessions as archives that move to Glacier by their tags, with a copy in a second region that
# is in Deep Archive from the start.

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

provider "aws" {
  alias  = "replica"
  region = var.replica_region
}

module "replica" {
  source    = "../../modules/replica"
  providers = { aws = aws.replica }

  bucket_name = "${var.bucket_name}-replica"
  prefix      = "fits/"
}

module "backup" {
  source = "../.."

  name        = "fits"
  bucket_name = var.bucket_name
  prefix      = "fits/"
  image       = var.image

  volumes = [{ name = "fits", container_path = "/fits", file_system_id = var.file_system_id }]
  config = {
    backup = {
      sources = [{
        name     = "raw"
        sessions = "/fits/raw"
        # The rules of tag_transitions act on these: Deep Archive after thirty days.
        tags = { archive = "normal" }
      }]
    }
  }

  replication = {
    bucket_arn    = module.replica.bucket_arn
    storage_class = "DEEP_ARCHIVE"
  }

  subnet_ids         = var.subnet_ids
  security_group_ids = var.security_group_ids

  schedule_expression = "rate(1 day)"
  alarm_emails        = var.alarm_emails
}

output "run_command" {
  description = "Starts a pass now, and waits for it."
  value       = module.backup.run_command
}

output "run_task_command" {
  description = "Starts a pass now, without the program."
  value       = module.backup.run_task_command
}

output "replica_bucket_name" {
  description = "What to restore from if the first region is lost."
  value       = module.replica.bucket_name
}

output "configuration" {
  description = "What the program is told."
  value       = module.backup.configuration
}
