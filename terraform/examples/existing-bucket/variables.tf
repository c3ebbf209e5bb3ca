variable "region" {
  description = "Region of everything."
  type        = string
  default     = "us-east-2"
}

variable "bucket_name" {
  description = "Name of the bucket that exists."
  type        = string
}

variable "kms_key_arn" {
  description = "ARN of the key that the bucket encrypts with; null if it has none."
  type        = string
  default     = null
}

variable "image" {
  description = "The container image, with tag or digest."
  type        = string
}

variable "cluster_arn" {
  description = "ARN of the cluster that exists."
  type        = string
}

variable "file_system_id" {
  description = "The EFS file system with the uploads."
  type        = string
}

variable "access_point_id" {
  description = "Its access point."
  type        = string
}

variable "subnet_ids" {
  description = "Public subnets with mount targets."
  type        = list(string)
}

variable "security_group_ids" {
  description = "Groups that let the task out on 443, and on 2049 to the mount targets."
  type        = list(string)
}

variable "pager_topic_arn" {
  description = "ARN of the SNS topic of the pager. Its policy lets CloudWatch and EventBridge publish, EventBridge without a Condition."
  type        = string
}
