# Buckets as sources: what the program is told, and what a pass and a restore may do.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  bucket_name        = "acme-backups"
  image              = "ghcr.io/acme/offsite:0.1.0"
  subnet_ids         = ["subnet-0123456789abcdef0"]
  security_group_ids = ["sg-0123456789abcdef0"]
  bucket_sources     = [{ name = "documents", bucket = "acme-documents" }]
}

run "a_bucket_is_told_to_the_program_and_nothing_else_is" {
  assert {
    condition = jsonencode(yamldecode(output.configuration)) == jsonencode({
      backup = {
        s3      = { bucket = "acme-backups", prefix = "offsite/" }
        log     = { format = "json" }
        sources = [{ name = "documents", bucket = { name = "acme-documents" } }]

        store_owner = "offsite"
      }
    })
    error_message = output.configuration
  }
}

run "a_pass_may_read_the_bucket_and_not_write_to_it" {
  assert {
    condition = jsonencode({
      for statement in local.task_statements : statement.Sid => [statement.Action, statement.Resource, try(statement.Condition, null)] if can(regex("Source", statement.Sid))
      }) == jsonencode({
      FindObjectsOfSource0 = [["s3:ListBucket"], ["arn:aws:s3:::acme-documents"], { StringLikeIfExists = { "s3:prefix" = ["*"] } }]
      ReadObjectsOfSource0 = [["s3:GetObject", "s3:GetObjectTagging"], ["arn:aws:s3:::acme-documents/*"], null]
    })
    error_message = jsonencode(local.task_statements)
  }

  assert {
    condition     = jsonencode([for statement in local.task_statements : sort(statement.Action) if statement.Sid == "ReadAndWriteBackups"]) == jsonencode([["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject", "s3:PutObjectTagging"]])
    error_message = jsonencode(local.task_statements)
  }

  assert {
    condition     = length(aws_iam_role.restore) == 0 && output.restore_role_arn == null && output.restore_policy == null
    error_message = "There is a role that may write to the bucket, which nobody asked for."
  }
}

run "settings_of_buckets_reach_the_program_and_their_permissions" {
  variables {
    volumes = [{ name = "data", container_path = "/data", file_system_id = "fs-0123456789abcdef0" }]
    bucket_sources = [
      {
        name          = "uploads"
        bucket        = "acme-documents"
        prefix        = "web/uploads/"
        region        = "eu-west-1"
        categories    = { raw = ["cr2"] }
        only          = ["raw", "other"]
        tags          = "ignore"
        storage_class = "GLACIER_IR"
        exclude       = ["*.tmp"]
        kms_key_arn   = "arn:aws:kms:eu-west-1:111122223333:key/there"
      },
    ]
  }

  assert {
    condition = jsonencode(yamldecode(output.configuration).backup.sources) == jsonencode([{
      name          = "uploads"
      bucket        = { name = "acme-documents", prefix = "web/uploads/", region = "eu-west-1", categories = { raw = ["cr2"] }, only = ["raw", "other"], tags = "ignore" }
      exclude       = ["*.tmp"]
      storage_class = "GLACIER_IR"
    }])
    error_message = output.configuration
  }

  assert {
    condition     = jsonencode(yamldecode(output.configuration).backup.s3.include_dirs) == jsonencode(["/data"])
    error_message = "The volume is not backed up beside the bucket: ${output.configuration}"
  }

  assert {
    condition = jsonencode({
      for statement in local.task_statements : statement.Sid => [statement.Action, statement.Resource, try(statement.Condition, null)] if can(regex("Source", statement.Sid))
      }) == jsonencode({
      DecryptSources       = [["kms:Decrypt"], ["arn:aws:kms:eu-west-1:111122223333:key/there"], null]
      FindObjectsOfSource0 = [["s3:ListBucket"], ["arn:aws:s3:::acme-documents"], { StringLikeIfExists = { "s3:prefix" = ["web/uploads/*"] } }]
      ReadObjectsOfSource0 = [["s3:GetObject"], ["arn:aws:s3:::acme-documents/web/uploads/*"], null]
    })
    error_message = jsonencode(local.task_statements)
  }

  assert {
    condition     = !contains(flatten(local.task_statements[*].Action), "s3:PutObjectTagging")
    error_message = "A pass that ignores tags may write them."
  }
}

run "sources_of_the_configuration_stay_beside_buckets" {
  variables {
    config = { backup = { sources = [{ name = "data", directory = "/data", exclude = ["tmp"] }] } }
  }

  assert {
    condition     = jsonencode(yamldecode(output.configuration).backup.sources[*].name) == jsonencode(["data", "documents"])
    error_message = output.configuration
  }
}

run "further_stores_get_the_tags_of_copies" {
  variables {
    config = { backup = { copies = [{ store = "s3://acme-elsewhere/web/" }] } }
  }

  assert {
    condition = jsonencode({
      for statement in local.task_statements : statement.Sid => statement.Action if startswith(statement.Sid, "ReadAndWrite")
      }) == jsonencode({
      ReadAndWriteBackups = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:PutObjectTagging", "s3:GetObjectTagging"]
      ReadAndWriteCopies0 = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:PutObjectTagging"]
    })
    error_message = jsonencode(local.task_statements)
  }
}

run "a_restore_has_a_role_of_its_own_which_a_pass_never_gets" {
  variables {
    kms_key_arn            = "arn:aws:kms:us-east-2:111122223333:key/here"
    restore_principal_arns = ["arn:aws:iam::111122223333:role/on-call"]
    bucket_sources = [
      { name = "documents", bucket = "acme-documents", prefix = "uploads/", restore = true, kms_key_arn = "arn:aws:kms:us-east-2:111122223333:key/there" },
      { name = "logs", bucket = "acme-logs" },
    ]
  }

  assert {
    condition = jsonencode({
      for statement in jsondecode(output.restore_policy).Statement : statement.Sid => [statement.Action, statement.Resource, try(statement.Condition, null)]
      }) == jsonencode({
      DecryptBackups            = [["kms:Decrypt"], ["arn:aws:kms:us-east-2:111122223333:key/here"], null]
      EncryptAndDecryptRestored = [["kms:GenerateDataKey", "kms:Decrypt"], ["arn:aws:kms:us-east-2:111122223333:key/there"], null]
      FindObjects               = [["s3:ListBucket"], ["arn:aws:s3:::acme-backups"], { StringLikeIfExists = { "s3:prefix" = ["offsite/*"] } }]
      FindObjectsToRestore0     = [["s3:ListBucket"], ["arn:aws:s3:::acme-documents"], { StringLikeIfExists = { "s3:prefix" = ["uploads/*"] } }]
      ReadBackups               = [["s3:GetObject", "s3:GetObjectTagging"], ["arn:aws:s3:::acme-backups/offsite/*"], null]
      RestoreObjects0           = [["s3:GetObject", "s3:GetObjectTagging", "s3:PutObject", "s3:PutObjectTagging", "s3:AbortMultipartUpload"], ["arn:aws:s3:::acme-documents/uploads/*"], null]
    })
    error_message = output.restore_policy
  }

  assert {
    condition     = aws_iam_role_policy.restore[0].policy == output.restore_policy && jsonencode(jsondecode(aws_iam_role.restore[0].assume_role_policy).Statement[0].Principal.AWS) == jsonencode(["arn:aws:iam::111122223333:role/on-call"])
    error_message = aws_iam_role.restore[0].assume_role_policy
  }

  # Whatever writes, writes to the store.
  assert {
    condition = alltrue([
      for statement in local.task_statements : alltrue([for resource in statement.Resource : startswith(resource, "arn:aws:s3:::acme-backups/")])
      if length([for action in statement.Action : action if can(regex("^s3:(Put|Delete|Abort)", action))]) > 0
    ])
    error_message = jsonencode(local.task_statements)
  }
}

run "a_restore_without_names_is_for_whom_the_account_lets" {
  variables {
    bucket_sources = [{ name = "documents", bucket = "acme-documents", tags = "ignore", restore = true }]
  }

  assert {
    condition     = jsonencode(jsondecode(aws_iam_role.restore[0].assume_role_policy).Statement[0].Principal.AWS) == jsonencode(["arn:aws:iam::111122223333:root"])
    error_message = aws_iam_role.restore[0].assume_role_policy
  }
}
