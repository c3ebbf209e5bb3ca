# What S3 does to objects by their age.
#
# There is no rule that deletes `files/`, `manifests/` or `snapshots/` by age, and there must be none. An
# incremental snapshot refers to contents and to parts of manifests that earlier passes wrote: a file that
# has not changed for two years is two years old in the bucket and part of yesterday's snapshot. Age says
# nothing about whether something is needed; only the program knows.
#
# Transitions delete nothing, so they may go by tag wherever the tag is; what is in Glacier has to be
# requested before it can be restored. Manifests and commit records are never tagged, so that `list`,
# `plan` and `verify` work while contents are archived.

locals {
  # Every pass renews the lock several times a minute and writes the status; each leaves a version that
  # nobody will ever want.
  busy = ["lock", "status.json"]

  expirations = {
    for directory, days in {
      archives  = var.expire_archives_after_days
      databases = var.expire_databases_after_days
    } : directory => days if days != null
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  bucket = var.bucket

  # A pass that was killed leaves the parts of its uploads, and the next one aborts them. This is for
  # when there is no next one.
  rule {
    id     = "abort-incomplete-uploads"
    status = "Enabled"
    filter {
      prefix = var.prefix
    }
    abort_incomplete_multipart_upload {
      days_after_initiation = var.abort_uploads_after_days
    }
  }

  rule {
    id     = "expire-noncurrent-versions"
    status = "Enabled"
    filter {
      prefix = var.prefix
    }
    noncurrent_version_expiration {
      noncurrent_days = var.expire_noncurrent_after_days
    }
  }

  # A delete marker with no version behind it says nothing and slows down listings.
  rule {
    id     = "remove-lone-delete-markers"
    status = "Enabled"
    filter {
      prefix = var.prefix
    }
    expiration {
      expired_object_delete_marker = true
    }
  }

  dynamic "rule" {
    for_each = toset(local.busy)
    content {
      id     = "expire-noncurrent-${rule.value}"
      status = "Enabled"
      filter {
        prefix = "${var.prefix}${rule.value}"
      }
      noncurrent_version_expiration {
        noncurrent_days = 1
      }
    }
  }

  # Below 128 KiB an object stays where it is: moving it to Glacier costs more than it ever saves. S3 does so
  # by itself only where a filter says nothing of sizes, and the provider always says something.
  dynamic "rule" {
    for_each = var.tag_transitions
    content {
      id     = "transition-${rule.key}"
      status = "Enabled"
      filter {
        and {
          prefix                   = var.prefix == "" ? null : var.prefix
          tags                     = { (rule.value.tag_key) = rule.value.tag_value }
          object_size_greater_than = 131071
        }
      }
      transition {
        days          = rule.value.days
        storage_class = rule.value.storage_class
      }
    }
  }

  # Archives and dumps stand on their own, unless archives are incremental: see the validation of
  # expire_archives_after_days. Those of sessions lie elsewhere and never expire: each is made once. Age does not know which backup is the last one: if backups stop, these
  # rules go on. The alarm for missing backups has to be heeded.
  dynamic "rule" {
    for_each = local.expirations
    content {
      id     = "expire-${rule.key}"
      status = "Enabled"
      filter {
        prefix = "${var.prefix}${rule.key}/"
      }
      expiration {
        days = rule.value
      }
    }
  }
}
