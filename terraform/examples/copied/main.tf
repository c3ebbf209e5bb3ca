# A directory on EFS, every night, and after each pass a copy in a second region that can take the first one's place.

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
  alias  = "copy"
  region = var.copy_region
}

locals {
  name = "mail"
}

module "copy" {
  source    = "../../modules/replica"
  providers = { aws = aws.copy }

  bucket_name = "${var.bucket_name}-copy"
  prefix      = "${local.name}/"
}

module "backup" {
  source = "../.."

  name        = local.name
  bucket_name = var.bucket_name
  image       = var.image

  volumes = [{ name = "mail", container_path = "/mail", file_system_id = var.file_system_id }]
  config = {
    backup = {
      copies = [{
        # Its name instead of the module's output: so the permissions can be read in the plan.
        store  = "s3://${var.bucket_name}-copy/${local.name}/"
        region = var.copy_region
        # A pass whose copy fails is incomplete.
        required = true
      }]
    }
  }

  subnet_ids         = var.subnet_ids
  security_group_ids = var.security_group_ids

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

output "copy_bucket_name" {
  description = "What to restore from, and to go on with, if the first region is lost."
  value       = module.copy.bucket_name
}

output "configuration" {
  description = "What the program is told."
  value       = module.backup.configuration
}
