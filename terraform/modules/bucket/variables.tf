variable "name" {
  description = "Name of the bucket, unique among all buckets of AWS."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.name))
    error_message = "A bucket's name has 3 to 63 small letters, digits, dots and hyphens, and begins and ends with a letter or digit: name it like `acme-backups`."
  }
}

variable "kms_key_arn" {
  description = "ARN of the KMS key to encrypt objects with; null for S3's own keys (SSE-S3)."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.kms_key_arn))
    error_message = "kms_key_arn is the ARN of a key (arn:aws:kms:<region>:<account>:key/<id>), not an alias or a bare id: permissions are written for keys."
  }
}

variable "force_destroy" {
  description = "Whether `terraform destroy` may delete the bucket with everything in it. For trials."
  type        = bool
  default     = false
  nullable    = false
}

variable "tags" {
  description = "Tags of the bucket."
  type        = map(string)
  default     = {}
  nullable    = false
}
