variable "region" {
  description = "Region of the task and of the first bucket."
  type        = string
  default     = "eu-central-1"
}

variable "copy_region" {
  description = "Region of the second bucket."
  type        = string
  default     = "eu-west-1"
}

variable "bucket_name" {
  description = "Name of the first bucket; the second one is called the same with -copy behind it."
  type        = string
}

variable "image" {
  description = "The container image, with tag or digest."
  type        = string
}

variable "file_system_id" {
  description = "The EFS file system to back up."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets with a way to S3 of both regions, ECR and CloudWatch Logs, and with mount targets."
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
