# Buckets that are backed up: what the program is told of them, what a pass may do with them, and what a restore may.
# A pass reads them and never writes there: what puts objects back is a role of its own, which people take.

locals {
  # As the program is told, without what was not said.
  sources_of_buckets = [
    for source in var.bucket_sources : merge(
      {
        name = source.name
        bucket = merge(
          { name = source.bucket },
          { for key, value in { prefix = source.prefix } : key => value if value != "" },
          { for key, value in { region = source.region } : key => value if value != null },
          { for key, value in { categories = source.categories } : key => value if value != null },
          { for key, value in { only = source.only } : key => value if value != null },
          { for key, value in { tags = source.tags } : key => value if value != "keep" },
        )
      },
      { for key, value in { exclude = source.exclude } : key => value if length(value) > 0 },
      { for key, value in { storage_class = source.storage_class } : key => value if value != null },
    )
  ]

  bucket_sources = [
    for source in var.bucket_sources : merge(source, {
      bucket_arn = "arn:${local.partition}:s3:::${source.bucket}"
      keeps_tags = source.tags == "keep"
    })
  ]
  copies_tags = anytrue(local.bucket_sources[*].keeps_tags)

  restorable          = [for source in local.bucket_sources : source if source.restore]
  restores_tags       = anytrue(local.restorable[*].keeps_tags)
  source_key_arns     = distinct(compact(local.bucket_sources[*].kms_key_arn))
  restorable_key_arns = distinct(compact(local.restorable[*].kms_key_arn))

  # S3 asks these of whoever has it copy: so the role that writes the copies is the one that reads here.
  source_statements = concat(
    flatten([
      for index, source in local.bucket_sources : [
        {
          Sid       = "FindObjectsOfSource${index}"
          Effect    = "Allow"
          Action    = ["s3:ListBucket"]
          Resource  = [source.bucket_arn]
          Condition = { StringLikeIfExists = { "s3:prefix" = ["${source.prefix}*"] } }
        },
        {
          Sid      = "ReadObjectsOfSource${index}"
          Effect   = "Allow"
          Action   = concat(["s3:GetObject"], source.keeps_tags ? ["s3:GetObjectTagging"] : [])
          Resource = ["${source.bucket_arn}/${source.prefix}*"]
        },
      ]
    ]),
    [
      for arns in length(local.source_key_arns) == 0 ? [] : [local.source_key_arns] : {
        Sid      = "DecryptSources"
        Effect   = "Allow"
        Action   = ["kms:Decrypt"]
        Resource = arns
      }
    ],
  )

  restore_statements = concat(
    [
      local.find_objects,
      {
        Sid      = "ReadBackups"
        Effect   = "Allow"
        Action   = concat(["s3:GetObject"], local.restores_tags ? ["s3:GetObjectTagging"] : [])
        Resource = [local.objects_arn]
      },
    ],
    flatten([
      for index, source in local.restorable : [
        {
          Sid       = "FindObjectsToRestore${index}"
          Effect    = "Allow"
          Action    = ["s3:ListBucket"]
          Resource  = [source.bucket_arn]
          Condition = { StringLikeIfExists = { "s3:prefix" = ["${source.prefix}*"] } }
        },
        {
          Sid    = "RestoreObjects${index}"
          Effect = "Allow"
          # Of tags whether they are kept or not: whether the server keeps to conditions is tried by a copy of an object
          # onto itself, with its tags.
          Action   = ["s3:GetObject", "s3:GetObjectTagging", "s3:PutObject", "s3:PutObjectTagging", "s3:AbortMultipartUpload"]
          Resource = ["${source.bucket_arn}/${source.prefix}*"]
        },
      ]
    ]),
    [
      for arns in length(local.kms_key_arns) == 0 ? [] : [local.kms_key_arns] : {
        Sid      = "DecryptBackups"
        Effect   = "Allow"
        Action   = ["kms:Decrypt"]
        Resource = arns
      }
    ],
    [
      for arns in length(local.restorable_key_arns) == 0 ? [] : [local.restorable_key_arns] : {
        Sid      = "EncryptAndDecryptRestored"
        Effect   = "Allow"
        Action   = ["kms:GenerateDataKey", "kms:Decrypt"]
        Resource = arns
      }
    ],
  )
  restore_policy = jsonencode({ Version = "2012-10-17", Statement = local.restore_statements })
}

# Whoever puts objects back takes this role; no task has it.
resource "aws_iam_role" "restore" {
  count = length(local.restorable) > 0 ? 1 : 0

  name                 = "${var.name}-restore"
  description          = "What putting objects back into the buckets of the backup ${var.name} may do."
  permissions_boundary = var.permissions_boundary_arn
  tags                 = local.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { AWS = length(var.restore_principal_arns) > 0 ? sort(var.restore_principal_arns) : ["arn:${local.partition}:iam::${local.account}:root"] }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy" "restore" {
  count = length(local.restorable) > 0 ? 1 : 0

  name   = "restore"
  role   = aws_iam_role.restore[0].id
  policy = local.restore_policy
}
