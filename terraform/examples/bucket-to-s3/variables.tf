variable "region" {
  description = "Region of the task and of the bucket with the backups."
  type        = string
  default     = "eu-central-1"
}

variable "bucket_name" {
  description = "Name of the bucket for backups."
  type        = string
}

variable "source_bucket_name" {
  description = "Name of the bucket to back up."
  type        = string
}

variable "image" {
  description = "The container image, with tag or digest."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets with a way to S3, ECR and CloudWatch Logs."
  type        = list(string)
}

variable "security_group_ids" {
  description = "Groups that let the task out on 443."
  type        = list(string)
}

variable "alarm_emails" {
  description = "Who is told."
  type        = set(string)
}
