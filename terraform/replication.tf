# A second copy in a second region. The bucket there is made by modules/replica, with a provider of that
# region: this module needs no second provider, and those who do not replicate need not think of one.
#
# Order does not matter: a commit record that arrives before what it refers to makes a snapshot that
# `offsite verify` calls incomplete until the rest is there, minutes later.

locals {
  # What a snapshot's files and archives are made of, and what may lie in a cheaper class there. The rest
  # is small and read first: list, plan and verify work at once, in the second region as well.
  content_directories = ["archives", "copies", "databases", "files", "raw"]

  # Archives elsewhere: the directories that keys of one's own begin with, up to the first placeholder. A key
  # without one gets no rule, for its prefix would be everything.
  archive_keys = concat(
    [lookup(var.environment, "OFFSITE_DEFAULTS__ARCHIVE__KEY", null), try(local.backup_config.defaults.archive.key, null)],
    [for source in local.sources : try(source.archive.key, null)],
  )
  archive_directories = distinct([
    for directory in compact([for key in local.archive_keys : try(trimsuffix(regex("^[^{]*/", key), "/"), null)]) :
    directory if !anytrue([for known in local.content_directories : startswith("${directory}/", "${known}/")])
  ])

  # None or one. A condition cannot choose between statements of different forms; `for` can.
  replicas = var.replication == null ? [] : [var.replication]

  replication_rules = flatten([for replica in local.replicas : concat(
    [{ id = "everything", prefix = local.prefix, priority = 0, storage_class = null }],
    [
      # Of rules with prefixes in common, the one of the highest priority acts. S3 takes 1,000 of them; more
      # keys than that do not fit into a task definition. Directories of one's own may be called anything,
      # and ids may not.
      for index, directory in replica.storage_class == null ? [] : concat(local.content_directories, local.archive_directories) : {
        id            = contains(local.content_directories, directory) ? directory : "archives-elsewhere-${index + 1 - length(local.content_directories)}"
        prefix        = "${local.prefix}${directory}/"
        priority      = index + 1
        storage_class = replica.storage_class
      }
    ],
  )])

  replication_statements = flatten([for replica in local.replicas : concat(
    [
      {
        Sid      = "ReadConfiguration"
        Effect   = "Allow"
        Action   = ["s3:GetReplicationConfiguration", "s3:ListBucket"]
        Resource = [local.bucket_arn]
      },
      {
        Sid      = "ReadObjects"
        Effect   = "Allow"
        Action   = ["s3:GetObjectVersionForReplication", "s3:GetObjectVersionAcl", "s3:GetObjectVersionTagging"]
        Resource = [local.objects_arn]
      },
      {
        Sid      = "WriteReplicas"
        Effect   = "Allow"
        Action   = concat(["s3:ReplicateObject", "s3:ReplicateTags"], replica.delete_markers ? ["s3:ReplicateDelete"] : [])
        Resource = ["${replica.bucket_arn}/${local.prefix}*"]
      },
    ],
    [
      for keys in length(local.kms_key_arns) == 0 ? [] : [local.kms_key_arns] : {
        Sid       = "DecryptHere"
        Effect    = "Allow"
        Action    = ["kms:Decrypt"]
        Resource  = keys
        Condition = { StringLike = { "kms:ViaService" = "s3.${local.region}.amazonaws.com" } }
      }
    ],
    [
      for key in replica.kms_key_arn == null ? [] : [replica.kms_key_arn] : {
        Sid       = "EncryptThere"
        Effect    = "Allow"
        Action    = ["kms:Encrypt"]
        Resource  = [key]
        Condition = { StringLike = { "kms:ViaService" = "s3.${split(":", key)[3]}.amazonaws.com" } }
      }
    ],
  )])
}

resource "aws_iam_role" "replication" {
  count = var.replication == null ? 0 : 1

  name        = "${var.name}-replication"
  description = "What S3 may do to replicate the backup ${var.name}."
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "s3.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account }
        ArnEquals    = { "aws:SourceArn" = local.bucket_arn }
      }
    }]
  })
  permissions_boundary = var.permissions_boundary_arn
  tags                 = local.tags
}

resource "aws_iam_role_policy" "replication" {
  count = var.replication == null ? 0 : 1

  name   = "replicate"
  role   = aws_iam_role.replication[0].id
  policy = jsonencode({ Version = "2012-10-17", Statement = local.replication_statements })
}

# A bucket has one replication configuration: that of an existing bucket is replaced as a whole.
resource "aws_s3_bucket_replication_configuration" "this" {
  count = var.replication == null ? 0 : 1

  bucket = local.bucket
  role   = aws_iam_role.replication[0].arn

  dynamic "rule" {
    for_each = local.replication_rules
    content {
      id       = rule.value.id
      status   = "Enabled"
      priority = rule.value.priority

      filter {
        prefix = rule.value.prefix
      }

      # A prune here would otherwise leave its objects there for ever. They stay there as versions for as
      # long as that bucket's lifecycle says.
      delete_marker_replication {
        status = var.replication.delete_markers ? "Enabled" : "Disabled"
      }

      # Objects that are encrypted with a KMS key are replicated only where that is said.
      dynamic "source_selection_criteria" {
        for_each = local.encrypts_by_kms ? [true] : []
        content {
          sse_kms_encrypted_objects {
            status = "Enabled"
          }
        }
      }

      destination {
        bucket        = var.replication.bucket_arn
        storage_class = rule.value.storage_class

        dynamic "encryption_configuration" {
          for_each = var.replication.kms_key_arn == null ? [] : [var.replication.kms_key_arn]
          content {
            replica_kms_key_id = encryption_configuration.value
          }
        }
      }
    }
  }

  lifecycle {
    precondition {
      condition     = !local.encrypts_by_kms || try(var.replication.kms_key_arn, null) != null
      error_message = "Objects encrypted with a KMS key are replicated only to a bucket with a KMS key of its own region: set replication.kms_key_arn."
    }
  }

  depends_on = [module.bucket]
}
