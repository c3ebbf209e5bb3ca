# What AWS would answer, where this module or the provider looks at its form.

mock_data "aws_caller_identity" {
  defaults = { account_id = "111122223333" }
}

mock_data "aws_partition" {
  defaults = { partition = "aws" }
}

mock_data "aws_region" {
  defaults = { id = "us-east-2" }
}

mock_resource "aws_ecs_cluster" {
  defaults = { arn = "arn:aws:ecs:us-east-2:111122223333:cluster/offsite" }
}

mock_resource "aws_ecs_task_definition" {
  defaults = { arn = "arn:aws:ecs:us-east-2:111122223333:task-definition/offsite:1" }
}

mock_resource "aws_iam_role" {
  defaults = { arn = "arn:aws:iam::111122223333:role/offsite" }
}

mock_resource "aws_sqs_queue" {
  defaults = {
    arn = "arn:aws:sqs:us-east-2:111122223333:offsite-dead-letters"
    url = "https://sqs.us-east-2.amazonaws.com/111122223333/offsite-dead-letters"
  }
}

mock_resource "aws_sns_topic" {
  defaults = { arn = "arn:aws:sns:us-east-2:111122223333:offsite-alarms" }
}

mock_resource "aws_s3_bucket" {
  defaults = { id = "acme-backups", arn = "arn:aws:s3:::acme-backups" }
}

mock_resource "aws_efs_access_point" {
  defaults = { id = "fsap-0fedcba9876543210", arn = "arn:aws:elasticfilesystem:us-east-2:111122223333:access-point/fsap-0fedcba9876543210" }
}

mock_resource "aws_cloudwatch_metric_alarm" {
  defaults = { arn = "arn:aws:cloudwatch:us-east-2:111122223333:alarm:offsite" }
}
