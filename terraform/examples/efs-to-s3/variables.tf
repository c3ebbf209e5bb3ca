variable "region" {
  description = "Region of everything."
  type        = string
  default     = "us-east-2"
}

variable "bucket_name" {
  description = "Name of the bucket to make, unique among all buckets of AWS."
  type        = string
}

variable "image" {
  description = "The container image, with tag or digest."
  type        = string
}

variable "file_system_id" {
  description = "The EFS file system that /data and /logs are on."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets with a way to S3, ECR and CloudWatch Logs, and with mount targets."
  type        = list(string)
}

variable "security_group_ids" {
  description = "Groups that let the task out on 443, and on 2049 to the mount targets."
  type        = list(string)
}

variable "alarm_emails" {
  description = "Who is told."
  type        = set(string)
}
