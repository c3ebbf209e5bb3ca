# What the task may do, and what ECS may do to start it. deploy/ecs/README.md says for each permission
# which request needs it.

locals {
  # Objects get tags only where the configuration says so, or where those of a bucket are copied.
  uses_tags = (
    local.copies_tags
    || can(regex("\"tags\":", jsonencode(var.config)))
    || anytrue([for name in keys(var.environment) : endswith(name, "__TAGS")])
  )

  # A key of its own, or the bucket's.
  kms_key_arns = distinct(compact([
    var.kms_key_arn,
    # As the program takes it: the environment wins, unless it is empty.
    try(coalesce(lookup(var.environment, "OFFSITE_S3__KMS_KEY_ID", null), try(tostring(var.config.backup.s3.kms_key_id), null)), null),
  ]))
  configured_encryption = try(coalesce(lookup(var.environment, "OFFSITE_S3__ENCRYPTION", null), try(tostring(var.config.backup.s3.encryption), null)), "bucket")

  # Without a key of its own, `aws:kms` takes the account's key for S3, which needs no permission.
  encrypts_by_kms = length(local.kms_key_arns) > 0 || local.configured_encryption == "aws:kms"

  cluster_name = local.cluster_arn == null ? "" : element(split("/", local.cluster_arn), 1)

  # <account>.dkr.ecr.<region>.amazonaws.com/<repository>:<tag>; null for images from elsewhere.
  ecr = try(regex("^([0-9]{12})\\.dkr\\.ecr\\.([a-z0-9-]+)\\.amazonaws\\.com(?:\\.cn)?/([^:@]+)[:@]", var.image), null)

  secret_arns = {
    # One key of a JSON secret is asked for by three more fields behind its ARN.
    secretsmanager = distinct([for arn in values(var.secrets) : join(":", slice(split(":", arn), 0, 7)) if can(regex(":secretsmanager:", arn))])
    ssm            = distinct([for arn in values(var.secrets) : arn if can(regex(":ssm:", arn))])
  }

  # What both the backup and prune may do.
  find_objects = {
    Sid      = "FindObjects"
    Effect   = "Allow"
    Action   = ["s3:ListBucket"]
    Resource = [local.bucket_arn]
    # IfExists: without this permission S3 answers 403 instead of 404 to a request for an object that
    # is not there, as the lock is not before the first pass, and that request has no prefix.
    Condition = { StringLikeIfExists = { "s3:prefix" = ["${local.prefix}*"] } }
  }

  see_other_tasks = {
    # Whether another task that holds the lock still runs.
    Sid       = "SeeOtherTasks"
    Effect    = "Allow"
    Action    = ["ecs:DescribeTasks"]
    Resource  = ["arn:${local.partition}:ecs:${local.region}:${local.account}:task/${local.cluster_name}/*"]
    Condition = { ArnEquals = { "ecs:cluster" = local.cluster_arn } }
  }

  encryption_statements = [
    for actions in length(local.kms_key_arns) == 0 ? [] : [["kms:GenerateDataKey", "kms:Decrypt"]] : {
      Sid      = "EncryptAndDecrypt"
      Effect   = "Allow"
      Action   = actions
      Resource = local.kms_key_arns
    }
  ]

  task_statements = concat(
    [
      local.find_objects,
      {
        # Knows no condition on the prefix.
        Sid      = "FindUnfinishedUploads"
        Effect   = "Allow"
        Action   = ["s3:ListBucketMultipartUploads"]
        Resource = [local.bucket_arn]
      },
      {
        Sid    = "ReadAndWriteBackups"
        Effect = "Allow"
        Action = concat(
          ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"],
          local.uses_tags ? ["s3:PutObjectTagging"] : [],
          # Further buckets get the tags of copies too, which are read here.
          local.copies_tags && length(local.configured_copies) > 0 ? ["s3:GetObjectTagging"] : [],
        )
        Resource = [local.objects_arn]
      },
      local.see_other_tasks,
    ],
    local.source_statements,
    flatten([
      for index, copy in local.copies : [
        {
          Sid       = "FindCopies${index}"
          Effect    = "Allow"
          Action    = ["s3:ListBucket"]
          Resource  = [copy.bucket_arn]
          Condition = { StringLikeIfExists = { "s3:prefix" = ["${copy.prefix}*"] } }
        },
        {
          Sid      = "ReadAndWriteCopies${index}"
          Effect   = "Allow"
          Action   = concat(["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"], local.copies_tags ? ["s3:PutObjectTagging"] : [])
          Resource = ["${copy.bucket_arn}/${copy.prefix}*"]
        },
      ]
    ]),
    [
      for arns in length(var.copies_kms_key_arns) == 0 ? [] : [sort(var.copies_kms_key_arns)] : {
        Sid      = "EncryptAndDecryptCopies"
        Effect   = "Allow"
        Action   = ["kms:GenerateDataKey", "kms:Decrypt"]
        Resource = arns
      }
    ],
    local.encryption_statements,
    [
      for index, volume in local.volumes : {
        Sid       = "MountVolume${index}"
        Effect    = "Allow"
        Action    = concat(["elasticfilesystem:ClientMount"], volume.root_access ? ["elasticfilesystem:ClientRootAccess"] : [])
        Resource  = ["arn:${local.partition}:elasticfilesystem:${local.region}:${local.account}:file-system/${volume.file_system_id}"]
        Condition = { StringEquals = { "elasticfilesystem:AccessPointArn" = "arn:${local.partition}:elasticfilesystem:${local.region}:${local.account}:access-point/${volume.access_point_id}" } }
      }
    ],
  )

  execution_statements = concat(
    [
      {
        Sid    = "WriteLogs"
        Effect = "Allow"
        Action = ["logs:CreateLogStream", "logs:PutLogEvents"]
        # A stream is named after its task, which has no name yet.
        Resource = ["${local.log_group_arn}:log-stream:*"]
      },
    ],
    [
      for registry in local.ecr == null ? [] : [local.ecr] : {
        # Takes no resource.
        Sid      = "LogInToRegistry"
        Effect   = "Allow"
        Action   = ["ecr:GetAuthorizationToken"]
        Resource = ["*"]
      }
    ],
    [
      for registry in local.ecr == null ? [] : [local.ecr] : {
        Sid      = "PullImage"
        Effect   = "Allow"
        Action   = ["ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage"]
        Resource = ["arn:${local.partition}:ecr:${registry[1]}:${registry[0]}:repository/${registry[2]}"]
      }
    ],
    [
      for arns in length(local.secret_arns.secretsmanager) == 0 ? [] : [local.secret_arns.secretsmanager] : {
        Sid      = "ReadSecrets"
        Effect   = "Allow"
        Action   = ["secretsmanager:GetSecretValue"]
        Resource = arns
      }
    ],
    [
      for arns in length(local.secret_arns.ssm) == 0 ? [] : [local.secret_arns.ssm] : {
        Sid      = "ReadParameters"
        Effect   = "Allow"
        Action   = ["ssm:GetParameters"]
        Resource = arns
      }
    ],
    [
      for arns in length(var.secrets_kms_key_arns) == 0 ? [] : [sort(var.secrets_kms_key_arns)] : {
        Sid      = "DecryptSecrets"
        Effect   = "Allow"
        Action   = ["kms:Decrypt"]
        Resource = arns
      }
    ],
  )

  ecs_tasks_trust = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
      # ECS may use the roles for tasks of this account and region alone.
      Condition = {
        StringEquals = { "aws:SourceAccount" = local.account }
        ArnLike      = { "aws:SourceArn" = "arn:${local.partition}:ecs:${local.region}:${local.account}:*" }
      }
    }]
  })
}

# The program's own role.
resource "aws_iam_role" "task" {
  name                 = "${var.name}-task"
  description          = "What the backup ${var.name} may do."
  assume_role_policy   = local.ecs_tasks_trust
  permissions_boundary = var.permissions_boundary_arn
  tags                 = local.tags
}

resource "aws_iam_role_policy" "task" {
  name   = "backup"
  role   = aws_iam_role.task.id
  policy = jsonencode({ Version = "2012-10-17", Statement = local.task_statements })
}

# The role that ECS starts the task with: image, logs, secrets.
resource "aws_iam_role" "execution" {
  name                 = "${var.name}-execution"
  description          = "What ECS may do to start the backup ${var.name}."
  assume_role_policy   = local.ecs_tasks_trust
  permissions_boundary = var.permissions_boundary_arn
  tags                 = local.tags
}

resource "aws_iam_role_policy" "execution" {
  name   = "start"
  role   = aws_iam_role.execution.id
  policy = jsonencode({ Version = "2012-10-17", Statement = local.execution_statements })
}
