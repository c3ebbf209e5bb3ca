variable "bucket_name" {
  description = "Name of the bucket in the second region."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.bucket_name))
    error_message = "A bucket's name has 3 to 63 small letters, digits, dots and hyphens, and begins and ends with a letter or digit: name it like `acme-backups-replica`."
  }
}

variable "prefix" {
  description = "The same prefix as in the first region, of which the main module's default is its name and a slash: replication keeps keys as they are."
  type        = string
  nullable    = false

  validation {
    condition     = var.prefix == "" || can(regex("^[^/].*/$", var.prefix))
    error_message = "prefix is empty, or does not begin with a slash and ends with one: write `backups/`."
  }
}

variable "kms_key_arn" {
  description = "ARN of a KMS key of the second region to encrypt replicas with; null for S3's own keys (SSE-S3)."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.kms_key_arn))
    error_message = "kms_key_arn is the ARN of a key (arn:aws:kms:<region>:<account>:key/<id>), not an alias or a bare id."
  }
}

variable "force_destroy_bucket" {
  description = "Whether `terraform destroy` may delete the bucket with everything in it. For trials."
  type        = bool
  default     = false
  nullable    = false
}

variable "abort_uploads_after_days" {
  description = "Days after which multipart uploads that were never completed are aborted."
  type        = number
  default     = 7
  nullable    = false

  validation {
    condition     = var.abort_uploads_after_days >= 1
    error_message = "abort_uploads_after_days is at least 1."
  }
}

variable "expire_archives_after_days" {
  description = "Days after which tar archives below archives/ are deleted here; null for never. Not less than in the first region. Those of sessions, below raw/, and those elsewhere stay."
  type        = number
  default     = null

  validation {
    condition     = var.expire_archives_after_days == null ? true : var.expire_archives_after_days >= 1
    error_message = "expire_archives_after_days is at least 1, or null."
  }
}

variable "expire_databases_after_days" {
  description = "Days after which database dumps are deleted here; null for never."
  type        = number
  default     = null

  validation {
    condition     = var.expire_databases_after_days == null ? true : var.expire_databases_after_days >= 1
    error_message = "expire_databases_after_days is at least 1, or null."
  }
}

variable "expire_noncurrent_after_days" {
  description = "Days for which an object that was deleted in the first region can still be brought back here."
  type        = number
  default     = 90
  nullable    = false

  validation {
    condition     = var.expire_noncurrent_after_days >= 1
    error_message = "expire_noncurrent_after_days is at least 1."
  }
}

variable "tags" {
  description = "Tags of the bucket."
  type        = map(string)
  default     = {}
  nullable    = false
}
