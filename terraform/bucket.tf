# The bucket, unless there is one already. Of a bucket that exists, only its name is needed, and nothing
# of it is changed that is not asked for (see lifecycle.tf and replication.tf).

module "bucket" {
  source = "./modules/bucket"
  count  = var.create_bucket ? 1 : 0

  name          = var.bucket_name
  kms_key_arn   = var.kms_key_arn
  force_destroy = var.force_destroy_bucket
  tags          = local.tags
}

locals {
  # The same name, but whatever uses it waits for the bucket and for its versioning.
  bucket = var.create_bucket ? module.bucket[0].name : var.bucket_name
}
