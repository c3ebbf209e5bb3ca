output "bucket_name" {
  description = "Name of the bucket in the second region: `offsite restore --bucket` it if the first region is lost."
  value       = module.bucket.name
}

output "bucket_arn" {
  description = "ARN of the bucket, for `replication.bucket_arn` of the main module."
  value       = module.bucket.arn
  # Replication is refused until both buckets have versions.
  depends_on = [module.bucket]
}

output "kms_key_arn" {
  description = "ARN of the key of the replicas, for `replication.kms_key_arn` of the main module."
  value       = var.kms_key_arn
}
