output "rule_ids" {
  description = "Names of the rules in force."
  value       = [for rule in aws_s3_bucket_lifecycle_configuration.this.rule : rule.id]
}
