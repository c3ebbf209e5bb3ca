variable "bucket" {
  description = "Name of the bucket. Its lifecycle configuration is replaced as a whole."
  type        = string

  validation {
    condition     = length(var.bucket) >= 3
    error_message = "Give the name of a bucket."
  }
}

variable "prefix" {
  description = "Where in the bucket the backups are: empty, or ending with a slash."
  type        = string
  nullable    = false

  validation {
    condition     = var.prefix == "" || can(regex("^[^/].*/$", var.prefix))
    error_message = "prefix is empty, or does not begin with a slash and ends with one: write `backups/`."
  }
}

variable "abort_uploads_after_days" {
  description = "Days after which multipart uploads that were never completed are aborted."
  type        = number
  nullable    = false

  validation {
    condition     = var.abort_uploads_after_days >= 1 && floor(var.abort_uploads_after_days) == var.abort_uploads_after_days
    error_message = "abort_uploads_after_days is a whole number of days, at least 1; it has to be longer than a pass takes."
  }
}

variable "tag_transitions" {
  description = "Transitions to other storage classes by object tag; the keys name the rules."
  type = map(object({
    tag_key       = string
    tag_value     = string
    days          = number
    storage_class = string
  }))
  nullable = false

  validation {
    condition = alltrue([
      for transition in var.tag_transitions : contains(
        ["STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"],
        transition.storage_class,
      )
    ])
    error_message = "storage_class of a transition is one of STANDARD_IA, ONEZONE_IA, INTELLIGENT_TIERING, GLACIER_IR, GLACIER, DEEP_ARCHIVE. Glacier Flexible Retrieval is called GLACIER here."
  }

  validation {
    condition = alltrue([
      for transition in var.tag_transitions :
      transition.days >= (contains(["STANDARD_IA", "ONEZONE_IA"], transition.storage_class) ? 30 : 0)
      && floor(transition.days) == transition.days
    ])
    error_message = "days of a transition is a whole number, at least 0; S3 takes nothing below 30 for STANDARD_IA and ONEZONE_IA: set those classes in the program's configuration instead."
  }
}

variable "expire_archives_after_days" {
  description = "Days after which tar archives below archives/ are deleted; null for never. Those of sessions, below raw/, and those elsewhere stay."
  type        = number
  nullable    = true

  validation {
    condition     = var.expire_archives_after_days == null ? true : var.expire_archives_after_days >= 1 && floor(var.expire_archives_after_days) == var.expire_archives_after_days
    error_message = "expire_archives_after_days is a whole number of days, at least 1, or null."
  }
}

variable "expire_databases_after_days" {
  description = "Days after which database dumps are deleted; null for never."
  type        = number
  nullable    = true

  validation {
    condition     = var.expire_databases_after_days == null ? true : var.expire_databases_after_days >= 1 && floor(var.expire_databases_after_days) == var.expire_databases_after_days
    error_message = "expire_databases_after_days is a whole number of days, at least 1, or null."
  }
}

variable "expire_noncurrent_after_days" {
  description = "Days for which a deleted or overwritten object can still be brought back."
  type        = number
  nullable    = false

  validation {
    condition     = var.expire_noncurrent_after_days >= 1 && floor(var.expire_noncurrent_after_days) == var.expire_noncurrent_after_days
    error_message = "expire_noncurrent_after_days is a whole number of days, at least 1."
  }
}
