# The bucket in a second region that replication writes to. It gets its region from the provider that it
# is called with; the lifecycle is its own, because what a lifecycle rule deletes in the first region is
# not deleted in the second.

module "bucket" {
  source = "../bucket"

  name          = var.bucket_name
  kms_key_arn   = var.kms_key_arn
  force_destroy = var.force_destroy_bucket
  tags          = var.tags
}

module "lifecycle" {
  source = "../lifecycle"

  bucket                   = module.bucket.name
  prefix                   = var.prefix
  abort_uploads_after_days = var.abort_uploads_after_days
  # The class in the second region is chosen where replication is configured.
  tag_transitions              = {}
  expire_archives_after_days   = var.expire_archives_after_days
  expire_databases_after_days  = var.expire_databases_after_days
  expire_noncurrent_after_days = var.expire_noncurrent_after_days
}
