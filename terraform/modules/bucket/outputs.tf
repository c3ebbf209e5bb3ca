output "name" {
  description = "Name of the bucket."
  value       = aws_s3_bucket.this.id
}

output "arn" {
  description = "ARN of the bucket."
  value       = aws_s3_bucket.this.arn
}

output "versioning_status" {
  description = "`Enabled`; known once versioning is on, which replication has to wait for."
  value       = aws_s3_bucket_versioning.this.versioning_configuration[0].status
}
