# What each option changes.

mock_provider "aws" {
  source = "./tests/mocks"
}

variables {
  bucket_name        = "acme-backups"
  image              = "ghcr.io/acme/offsite:0.1.0"
  subnet_ids         = ["subnet-0123456789abcdef0"]
  security_group_ids = ["sg-0123456789abcdef0"]
  volumes            = [{ name = "data", container_path = "/data", file_system_id = "fs-0123456789abcdef0" }]
}

run "an_existing_bucket_is_left_alone" {
  variables {
    create_bucket = false
  }

  assert {
    condition     = length(module.bucket) == 0 && length(module.lifecycle) == 0 && output.bucket_name == "acme-backups"
    error_message = "Something of the existing bucket is changed."
  }
}

run "another_backup_in_the_bucket_has_another_owner_and_another_place" {
  variables {
    name = "portal"
  }

  assert {
    condition = (
      yamldecode(output.configuration).backup.store_owner == "portal"
      && yamldecode(output.configuration).backup.s3.prefix == "portal/"
      && output.store_owner == "portal"
      && output.prefix == "portal/"
    )
    error_message = output.configuration
  }

  assert {
    condition     = jsonencode([for statement in local.task_statements : statement.Resource if statement.Sid == "ReadAndWriteBackups"]) == jsonencode([["arn:aws:s3:::acme-backups/portal/*"]])
    error_message = jsonencode(local.task_statements)
  }
}

run "a_place_and_an_owner_that_are_given_are_taken" {
  variables {
    name        = "portal"
    prefix      = ""
    store_owner = "team/web ü"
  }

  assert {
    condition     = output.prefix == "" && jsonencode([output.store_owner, yamldecode(output.configuration).backup.store_owner]) == jsonencode(["team/web ü", "team/web ü"])
    error_message = output.configuration
  }
}

run "an_owner_in_the_configuration_is_left_alone" {
  variables {
    config = { backup = { store_owner = "team-web" } }
  }

  assert {
    condition     = yamldecode(output.configuration).backup.store_owner == "team-web" && output.store_owner == "team-web"
    error_message = output.configuration
  }
}

run "an_owner_can_be_left_out" {
  variables {
    store_owner = ""
  }

  assert {
    condition     = !can(yamldecode(output.configuration).backup.store_owner) && output.store_owner == null
    error_message = output.configuration
  }
}

run "copies_bring_their_permissions_and_an_alarm" {
  variables {
    config = { backup = { copies = [
      { store = "s3://acme-elsewhere/portal/web", region = "eu-west-1", required = true },
      { store = "s3://acme-third" },
      # These are asked for by others than the task's role.
      { store = "s3://acme-minio/portal/", endpoint_url = "https://s3.example.com" },
      { store = "s3://acme-other-account/portal/", profile = "elsewhere" },
    ] } }
    copies_kms_key_arns = ["arn:aws:kms:eu-west-1:111122223333:key/there"]
  }

  assert {
    condition = jsonencode({
      for statement in local.task_statements : statement.Sid => [statement.Action, statement.Resource, try(statement.Condition, null)] if can(regex("Copies", statement.Sid))
      }) == jsonencode({
      FindCopies0             = [["s3:ListBucket"], ["arn:aws:s3:::acme-elsewhere"], { StringLikeIfExists = { "s3:prefix" = ["portal/web/*"] } }]
      FindCopies1             = [["s3:ListBucket"], ["arn:aws:s3:::acme-third"], { StringLikeIfExists = { "s3:prefix" = ["*"] } }]
      ReadAndWriteCopies0     = [["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"], ["arn:aws:s3:::acme-elsewhere/portal/web/*"], null]
      ReadAndWriteCopies1     = [["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"], ["arn:aws:s3:::acme-third/*"], null]
      EncryptAndDecryptCopies = [["kms:GenerateDataKey", "kms:Decrypt"], ["arn:aws:kms:eu-west-1:111122223333:key/there"], null]
    })
    error_message = jsonencode(local.task_statements)
  }

  assert {
    condition     = length(yamldecode(output.configuration).backup.copies) == 4 && yamldecode(output.configuration).backup.copies[0].required
    error_message = output.configuration
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.event["copy-failed"].metric_name == "CopyFailed" && aws_cloudwatch_log_metric_filter.counter["CopyFailed"].pattern == "{ $.event = \"copy_failed\" }"
    error_message = "A copy that fails is told to nobody."
  }
}

run "without_copies_there_is_no_alarm_for_them" {
  assert {
    condition     = !contains(keys(aws_cloudwatch_metric_alarm.event), "copy-failed") && !contains(keys(aws_cloudwatch_log_metric_filter.counter), "CopyFailed")
    error_message = "There is an alarm for copies that are not made."
  }
}

run "an_existing_bucket_gets_rules_when_asked" {
  variables {
    create_bucket    = false
    manage_lifecycle = true
  }

  assert {
    condition     = length(module.bucket) == 0 && contains(output.lifecycle_rules, "abort-incomplete-uploads")
    error_message = "There are no rules."
  }
}

run "lifecycle_numbers_arrive" {
  variables {
    prefix                       = ""
    abort_uploads_after_days     = 3
    expire_archives_after_days   = 400
    expire_databases_after_days  = 90
    expire_noncurrent_after_days = 14
    tag_transitions              = { cold = { tag_key = "tier", tag_value = "cold", days = 1, storage_class = "GLACIER_IR" } }
  }

  assert {
    condition = sort(output.lifecycle_rules) == sort([
      "abort-incomplete-uploads", "expire-noncurrent-versions", "remove-lone-delete-markers", "expire-noncurrent-lock",
      "expire-noncurrent-status.json", "transition-cold", "expire-archives", "expire-databases",
    ])
    error_message = "Rules: ${jsonencode(output.lifecycle_rules)}"
  }
}

run "prune_has_a_task_a_role_and_a_schedule_of_its_own" {
  variables {
    name                     = "portal"
    retention                = { keep_within = "14d", daily = 30, monthly = 12, timezone = "Europe/Berlin" }
    prune_enabled            = true
    config                   = { backup = { defaults = { exclude = ["*.tmp"] } } }
    permissions_boundary_arn = "arn:aws:iam::111122223333:policy/boundary"
  }

  assert {
    condition = jsonencode(yamldecode(output.configuration).backup.defaults) == jsonencode({
      exclude   = ["*.tmp"]
      retention = { daily = 30, keep_within = "14d", monthly = 12, timezone = "Europe/Berlin" }
    })
    error_message = output.configuration
  }

  assert {
    condition = (
      aws_ecs_task_definition.prune[0].family == "portal-prune"
      && jsonencode(local.prune_container.command) == jsonencode(["prune", "--wait-for-lock", "30m"])
      && length(local.prune_container.mountPoints) == 0
      && length(aws_ecs_task_definition.prune[0].volume) == 0
      && local.prune_container.readonlyRootFilesystem
      && local.prune_container.user == "65532"
      && jsonencode(local.prune_container.environment) == jsonencode(local.container.environment)
      && aws_iam_role.prune[0].name == "portal-prune"
      && aws_iam_role.prune[0].permissions_boundary == "arn:aws:iam::111122223333:policy/boundary"
    )
    error_message = jsonencode(local.prune_container)
  }

  assert {
    condition = jsonencode({ for statement in local.prune_statements : statement.Sid => [statement.Action, statement.Resource] }) == jsonencode({
      FindObjects = [["s3:ListBucket"], ["arn:aws:s3:::acme-backups"]]
      ReadAndCondemnSnapshots = [["s3:GetObject", "s3:PutObject"], [
        "arn:aws:s3:::acme-backups/portal/lock", "arn:aws:s3:::acme-backups/portal/marks/*",
        "arn:aws:s3:::acme-backups/portal/prunes/*", "arn:aws:s3:::acme-backups/portal/snapshots/*",
      ]]
      SeeOtherTasks = [["ecs:DescribeTasks"], ["arn:aws:ecs:us-east-2:111122223333:task/offsite/*"]]
    })
    error_message = jsonencode(local.prune_statements)
  }

  assert {
    condition = (
      aws_scheduler_schedule.this["prune"].name == "portal-prune"
      && aws_scheduler_schedule.this["prune"].schedule_expression == "cron(15 10 * * ? *)"
      && aws_scheduler_schedule.this["prune"].target[0].input == null
      && length(local.scheduler_statements[0].Resource) == 2
      && local.scheduler_statements[0].Resource[1] == "arn:aws:ecs:us-east-2:111122223333:task-definition/portal-prune:*"
      && length(local.scheduler_statements[1].Resource) == 3
    )
    error_message = jsonencode(local.scheduler_statements)
  }

  assert {
    condition = (
      aws_cloudwatch_metric_alarm.event["prune-failed"].metric_name == "PruneFailed"
      && aws_cloudwatch_log_metric_filter.counter["PruneFailed"].pattern == "{ ($.event = \"prune_failed\") && ($.exit_code != 11) }"
      && jsonencode(jsondecode(aws_cloudwatch_event_rule.task["task-failed"].event_pattern).detail.taskDefinitionArn[*].prefix) == jsonencode([
        "arn:aws:ecs:us-east-2:111122223333:task-definition/portal:", "arn:aws:ecs:us-east-2:111122223333:task-definition/portal-prune:",
      ])
    )
    error_message = "A prune that fails is told to nobody."
  }

  assert {
    condition = (
      endswith(output.prune_command, " --task-definition portal-prune --subnets subnet-0123456789abcdef0 --security-groups sg-0123456789abcdef0")
      && output.prune_task_definition_arn != null
      && output.prune_task_role_arn != null
    )
    error_message = output.prune_command
  }
}

run "a_rule_can_start_prune_at_another_time" {
  variables {
    config                    = { backup = { sources = [{ name = "data", directory = "/data", retention = { keep_last = 7 } }] } }
    prune_enabled             = true
    prune_schedule_expression = "rate(7 days)"
    use_event_rule            = true
  }

  assert {
    condition     = aws_cloudwatch_event_rule.schedule["prune"].schedule_expression == "rate(7 days)" && length(aws_cloudwatch_event_target.schedule) == 2
    error_message = "No rule starts prune."
  }

  assert {
    condition     = !can(yamldecode(output.configuration).backup.defaults)
    error_message = output.configuration
  }
}

run "only_prune_may_delete_and_only_when_asked" {
  variables {
    retention     = { keep_last = 7 }
    prune_enabled = true
    allow_delete  = true
  }

  assert {
    condition     = contains(flatten(local.prune_statements[*].Action), "s3:DeleteObject") && !contains(flatten(local.task_statements[*].Action), "s3:DeleteObject")
    error_message = "The wrong task may delete."
  }
}

run "without_prune_there_is_nothing_of_it" {
  assert {
    condition = (
      length(aws_iam_role.prune) == 0
      && length(aws_ecs_task_definition.prune) == 0
      && jsonencode(keys(aws_scheduler_schedule.this)) == jsonencode(["backup"])
      && !contains(keys(aws_cloudwatch_metric_alarm.event), "prune-failed")
      && !can(yamldecode(output.configuration).backup.defaults)
      && output.prune_command == null
    )
    error_message = "There is something of prune."
  }
}

run "a_pass_can_prune_at_its_end" {
  variables {
    retention = { keep_last = 7, after_pass = true }
  }

  assert {
    condition     = yamldecode(output.configuration).backup.defaults.retention.after_pass && contains(keys(aws_cloudwatch_metric_alarm.event), "prune-failed") && length(aws_ecs_task_definition.prune) == 0
    error_message = output.configuration
  }
}

run "tags_in_the_configuration_bring_their_permission" {
  variables {
    config = { backup = { s3 = { include_dirs = ["/data"], tags = { archive = "normal" } } } }
  }

  assert {
    condition     = contains(flatten(local.task_statements[*].Action), "s3:PutObjectTagging")
    error_message = "The task may not tag."
  }
}

run "tags_in_the_environment_bring_their_permission" {
  variables {
    environment = { OFFSITE_S3__TAGS = "archive=normal" }
  }

  assert {
    condition     = contains(flatten(local.task_statements[*].Action), "s3:PutObjectTagging")
    error_message = "The task may not tag."
  }
}

run "keys_bring_their_permission" {
  variables {
    kms_key_arn = "arn:aws:kms:us-east-2:111122223333:key/11111111-2222-3333-4444-555555555555"
    config      = { backup = { s3 = { encryption = "aws:kms", kms_key_id = "arn:aws:kms:us-east-2:111122223333:key/own" } } }
  }

  assert {
    condition = jsonencode(one([for statement in local.task_statements : statement if statement.Sid == "EncryptAndDecrypt"])) == jsonencode({
      Sid      = "EncryptAndDecrypt"
      Effect   = "Allow"
      Action   = ["kms:GenerateDataKey", "kms:Decrypt"]
      Resource = ["arn:aws:kms:us-east-2:111122223333:key/11111111-2222-3333-4444-555555555555", "arn:aws:kms:us-east-2:111122223333:key/own"]
    })
    error_message = jsonencode(local.task_statements)
  }
}

run "a_key_in_the_environment_wins_over_that_in_the_configuration" {
  variables {
    config      = { backup = { s3 = { encryption = "aws:kms", kms_key_id = "arn:aws:kms:us-east-2:111122223333:key/own" } } }
    environment = { OFFSITE_S3__KMS_KEY_ID = "arn:aws:kms:us-east-2:111122223333:key/other" }
  }

  assert {
    condition     = jsonencode(local.kms_key_arns) == jsonencode(["arn:aws:kms:us-east-2:111122223333:key/other"])
    error_message = jsonencode(local.kms_key_arns)
  }
}

run "an_empty_key_in_the_environment_is_none" {
  variables {
    config      = { backup = { s3 = { encryption = "aws:kms", kms_key_id = "arn:aws:kms:us-east-2:111122223333:key/own" } } }
    environment = { OFFSITE_S3__KMS_KEY_ID = "" }
  }

  assert {
    condition     = jsonencode(local.kms_key_arns) == jsonencode(["arn:aws:kms:us-east-2:111122223333:key/own"])
    error_message = jsonencode(local.kms_key_arns)
  }
}

run "an_image_from_elsewhere_needs_no_registry_permission" {
  assert {
    condition     = jsonencode(flatten(local.execution_statements[*].Action)) == jsonencode(["logs:CreateLogStream", "logs:PutLogEvents"])
    error_message = jsonencode(local.execution_statements)
  }
}

run "an_image_from_ecr_may_be_pulled_and_no_other" {
  variables {
    image = "444455556666.dkr.ecr.eu-west-1.amazonaws.com/tools/offsite@sha256:0000"
  }

  assert {
    condition     = jsonencode(one([for statement in local.execution_statements : statement.Resource if statement.Sid == "PullImage"])) == jsonencode(["arn:aws:ecr:eu-west-1:444455556666:repository/tools/offsite"])
    error_message = jsonencode(local.execution_statements)
  }
}

run "secrets_are_read_and_nothing_else" {
  variables {
    secrets = {
      PGPASSWORD = "arn:aws:secretsmanager:us-east-2:111122223333:secret:portal-AbCdEf:password::"
      API_KEYS   = "arn:aws:ssm:us-east-2:111122223333:parameter/portal/api-keys"
    }
    secrets_kms_key_arns = ["arn:aws:kms:us-east-2:111122223333:key/secrets"]
  }

  assert {
    condition = jsonencode({ for statement in local.execution_statements : statement.Sid => statement.Resource if contains(["ReadSecrets", "ReadParameters", "DecryptSecrets"], statement.Sid) }) == jsonencode({
      ReadSecrets    = ["arn:aws:secretsmanager:us-east-2:111122223333:secret:portal-AbCdEf"]
      ReadParameters = ["arn:aws:ssm:us-east-2:111122223333:parameter/portal/api-keys"]
      DecryptSecrets = ["arn:aws:kms:us-east-2:111122223333:key/secrets"]
    })
    error_message = jsonencode(local.execution_statements)
  }

  assert {
    condition     = jsonencode(local.container.secrets[*].name) == jsonencode(["API_KEYS", "PGPASSWORD"])
    error_message = jsonencode(local.container.secrets)
  }
}

run "an_access_point_without_root_reads_without_root" {
  variables {
    volumes = [{ name = "data", container_path = "/data", file_system_id = "fs-0123456789abcdef0", path = "/app", root_access = false }]
  }

  assert {
    condition     = aws_efs_access_point.this["data"].posix_user[0].uid == 65532 && aws_efs_access_point.this["data"].root_directory[0].path == "/app"
    error_message = "The access point reads as root, or elsewhere."
  }

  assert {
    condition     = !contains(flatten(local.task_statements[*].Action), "elasticfilesystem:ClientRootAccess")
    error_message = "The task may read as root."
  }
}

run "an_existing_access_point_is_used" {
  variables {
    volumes = [{ name = "data", container_path = "/data", file_system_id = "fs-0123456789abcdef0", access_point_id = "fsap-0123456789abcdef0" }]
  }

  assert {
    condition     = length(aws_efs_access_point.this) == 0 && local.volumes[0].access_point_id == "fsap-0123456789abcdef0"
    error_message = "Another access point is used."
  }
}

run "an_existing_cluster_is_used" {
  variables {
    cluster_arn = "arn:aws:ecs:us-east-2:111122223333:cluster/shared"
  }

  assert {
    condition     = length(aws_ecs_cluster.this) == 0 && aws_scheduler_schedule.this["backup"].target[0].arn == "arn:aws:ecs:us-east-2:111122223333:cluster/shared"
    error_message = "Another cluster is used."
  }
}

run "a_rule_can_start_the_task" {
  variables {
    use_event_rule         = true
    schedule_expression    = "rate(6 hours)"
    schedule_enabled       = false
    schedule_retries       = 2
    schedule_retry_seconds = 600
  }

  assert {
    condition = (
      length(aws_scheduler_schedule.this) == 0
      && length(aws_scheduler_schedule_group.this) == 0
      && aws_cloudwatch_event_rule.schedule["backup"].schedule_expression == "rate(6 hours)"
      && aws_cloudwatch_event_rule.schedule["backup"].state == "DISABLED"
      && aws_cloudwatch_event_target.schedule["backup"].retry_policy[0].maximum_retry_attempts == 2
      && aws_cloudwatch_event_target.schedule["backup"].retry_policy[0].maximum_event_age_in_seconds == 600
      && jsondecode(aws_iam_role.scheduler.assume_role_policy).Statement[0].Principal.Service == "events.amazonaws.com"
      && length(aws_sqs_queue_policy.dead_letters) == 1
    )
    error_message = "The rule is not what was asked for."
  }
}

run "the_schedule_takes_its_options" {
  variables {
    schedule_timezone         = "Europe/Berlin"
    schedule_flexible_minutes = 30
    schedule_enabled          = false
    platform_version          = "1.4.0"
    assign_public_ip          = true
    verify                    = { schedule_expression = "cron(0 6 ? * SUN *)" }
  }

  assert {
    condition = (
      aws_scheduler_schedule.this["backup"].schedule_expression_timezone == "Europe/Berlin"
      && aws_scheduler_schedule.this["backup"].flexible_time_window[0].maximum_window_in_minutes == 30
      && aws_scheduler_schedule.this["backup"].state == "DISABLED"
      && aws_scheduler_schedule.this["backup"].target[0].ecs_parameters[0].platform_version == "1.4.0"
      && aws_scheduler_schedule.this["backup"].target[0].ecs_parameters[0].network_configuration[0].assign_public_ip
    )
    error_message = "The schedule is not what was asked for."
  }

  assert {
    condition     = endswith(output.run_command, " --security-groups sg-0123456789abcdef0 --assign-public-ip")
    error_message = output.run_command
  }

  assert {
    condition     = jsonencode(jsondecode(aws_scheduler_schedule.this["verify"].target[0].input)) == jsonencode({ containerOverrides = [{ name = "offsite", command = ["verify", "--read", "5%"] }] })
    error_message = "The second schedule does not verify."
  }
}

run "the_task_takes_its_options" {
  variables {
    name                     = "portal"
    cpu                      = 1024
    memory                   = 4096
    cpu_architecture         = "X86_64"
    command                  = ["run", "--wait-for-lock", "10m"]
    permissions_boundary_arn = "arn:aws:iam::111122223333:policy/boundary"
    log_retention_days       = 365
    log_kms_key_arn          = "arn:aws:kms:us-east-2:111122223333:key/logs"
    tags                     = { Team = "web" }
    force_destroy_bucket     = true
  }

  assert {
    condition = (
      aws_ecs_task_definition.this.family == "portal"
      && aws_ecs_task_definition.this.cpu == "1024"
      && aws_ecs_task_definition.this.memory == "4096"
      && aws_ecs_task_definition.this.runtime_platform[0].cpu_architecture == "X86_64"
      && local.container.command == tolist(["run", "--wait-for-lock", "10m"])
      && alltrue([for role in [aws_iam_role.task, aws_iam_role.execution, aws_iam_role.scheduler] : role.permissions_boundary == "arn:aws:iam::111122223333:policy/boundary"])
      && aws_cloudwatch_log_group.this.retention_in_days == 365
      && aws_cloudwatch_log_group.this.kms_key_id == "arn:aws:kms:us-east-2:111122223333:key/logs"
      && aws_cloudwatch_log_group.this.tags == tomap({ Application = "offsite", Backup = "portal", Team = "web" })
    )
    error_message = "The task is not what was asked for."
  }
}

run "alarms_take_their_options" {
  variables {
    missing_backup_hours = null
    lock_held_alarm      = { count = 1, hours = 2 }
    alarm_emails         = ["ops@example.com"]
    alarm_topic_arns     = ["arn:aws:sns:us-east-2:111122223333:pager"]
    alarm_kms_key_arn    = "arn:aws:kms:us-east-2:111122223333:key/alarms"
    quiet_exit_codes     = [143]
    create_dashboard     = false
  }

  assert {
    condition = (
      length(aws_cloudwatch_metric_alarm.missing) == 0
      && aws_cloudwatch_metric_alarm.event["lock-held"].threshold == 1
      && aws_cloudwatch_metric_alarm.event["lock-held"].period == 7200
      && toset(aws_cloudwatch_metric_alarm.event["failed"].alarm_actions) == toset(["arn:aws:sns:us-east-2:111122223333:offsite-alarms", "arn:aws:sns:us-east-2:111122223333:pager"])
      && aws_sns_topic_subscription.email["ops@example.com"].protocol == "email"
      && aws_sns_topic.alarms.kms_master_key_id == "arn:aws:kms:us-east-2:111122223333:key/alarms"
      && length(aws_cloudwatch_event_target.task) == 4
      && length(aws_cloudwatch_dashboard.this) == 0
      && jsondecode(aws_cloudwatch_event_rule.task["task-failed"].event_pattern).detail.containers.exitCode[0]["anything-but"][1] == 143
    )
    error_message = "The alarms are not what was asked for."
  }
}

run "replicas_of_contents_go_to_their_class_and_manifests_do_not" {
  variables {
    replication = { bucket_arn = "arn:aws:s3:::acme-replica", storage_class = "DEEP_ARCHIVE" }
  }

  assert {
    condition = jsonencode({ for rule in aws_s3_bucket_replication_configuration.this[0].rule : rule.filter[0].prefix => rule.destination[0].storage_class }) == jsonencode({
      "offsite/"           = null
      "offsite/archives/"  = "DEEP_ARCHIVE"
      "offsite/copies/"    = "DEEP_ARCHIVE"
      "offsite/databases/" = "DEEP_ARCHIVE"
      "offsite/files/"     = "DEEP_ARCHIVE"
      "offsite/raw/"       = "DEEP_ARCHIVE"
    })
    error_message = jsonencode(local.replication_rules)
  }
}

run "replicas_of_archives_elsewhere_go_to_their_class" {
  variables {
    config = { backup = {
      defaults = { archive = { key = "tars/all-{source}/{pass}.{ext}" } }
      sources = [
        { sessions = "/data/raw", archive = { key = "cold/sessions/{year}/{session}.{ext}" } },
        { directory = "/data/a", archive = { key = "everything/{pass}.{ext}" } },
        { directory = "/data/b", archive = { key = "tars/{pass}.{ext}" } },
        # Below a directory that has its rule, without a directory, and without a key.
        { directory = "/data/c", archive = { key = "archives/c/{pass}.{ext}" } },
        { directory = "/data/d", archive = { key = "{source}/{pass}.{ext}" } },
        { directory = "/data/e", archive = { compression = "zstd" } },
        { directory = "/data/f", archive = null },
      ]
    } }
    environment = { OFFSITE_DEFAULTS__ARCHIVE__KEY = "zstd/{source}/{pass}.{ext}" }
    replication = { bucket_arn = "arn:aws:s3:::acme-replica", storage_class = "DEEP_ARCHIVE" }
  }

  assert {
    condition = jsonencode({ for rule in local.replication_rules : rule.prefix => rule.id if startswith(rule.id, "archives-elsewhere-") }) == jsonencode({
      "offsite/zstd/"          = "archives-elsewhere-1"
      "offsite/tars/"          = "archives-elsewhere-2"
      "offsite/cold/sessions/" = "archives-elsewhere-3"
      "offsite/everything/"    = "archives-elsewhere-4"
    })
    error_message = jsonencode(local.replication_rules)
  }

  # Of two rules with a prefix in common, S3 takes the one of the higher priority.
  assert {
    condition = (
      length(aws_s3_bucket_replication_configuration.this[0].rule) == 10
      && alltrue([for rule in local.replication_rules : rule.storage_class == "DEEP_ARCHIVE" && rule.priority > 0 if rule.id != "everything"])
      && length(distinct(local.replication_rules[*].priority)) == 10
      && length(distinct(local.replication_rules[*].id)) == 10
    )
    error_message = jsonencode(local.replication_rules)
  }
}

run "replication_with_keys_may_use_them" {
  variables {
    kms_key_arn = "arn:aws:kms:us-east-2:111122223333:key/here"
    replication = { bucket_arn = "arn:aws:s3:::acme-replica", kms_key_arn = "arn:aws:kms:us-west-2:111122223333:key/there", delete_markers = false }
  }

  assert {
    condition = (
      length(setintersection(flatten(local.replication_statements[*].Action), ["kms:Decrypt", "kms:Encrypt"])) == 2
      && !contains(flatten(local.replication_statements[*].Action), "s3:ReplicateDelete")
      && aws_s3_bucket_replication_configuration.this[0].rule[0].delete_marker_replication[0].status == "Disabled"
      && aws_s3_bucket_replication_configuration.this[0].rule[0].destination[0].encryption_configuration[0].replica_kms_key_id == "arn:aws:kms:us-west-2:111122223333:key/there"
    )
    error_message = jsonencode(local.replication_statements)
  }
}

run "replication_may_use_a_key_of_the_configuration" {
  variables {
    config      = { backup = { s3 = { encryption = "aws:kms", kms_key_id = "arn:aws:kms:us-east-2:111122223333:key/own" } } }
    replication = { bucket_arn = "arn:aws:s3:::acme-replica", kms_key_arn = "arn:aws:kms:us-west-2:111122223333:key/there" }
  }

  assert {
    condition     = jsonencode([for statement in local.replication_statements : statement.Resource if statement.Sid == "DecryptHere"]) == jsonencode([["arn:aws:kms:us-east-2:111122223333:key/own"]])
    error_message = jsonencode(local.replication_statements)
  }

  assert {
    condition     = one(one(aws_s3_bucket_replication_configuration.this[0].rule).source_selection_criteria).sse_kms_encrypted_objects[0].status == "Enabled"
    error_message = "Objects encrypted with the key are not replicated."
  }
}

run "objects_encrypted_with_the_keys_of_the_account_are_replicated" {
  variables {
    environment = { OFFSITE_S3__ENCRYPTION = "aws:kms" }
    replication = { bucket_arn = "arn:aws:s3:::acme-replica", kms_key_arn = "arn:aws:kms:us-west-2:111122223333:key/there" }
  }

  assert {
    condition     = one(one(aws_s3_bucket_replication_configuration.this[0].rule).source_selection_criteria).sse_kms_encrypted_objects[0].status == "Enabled"
    error_message = "Objects encrypted with the key are not replicated."
  }
}

run "archives_of_sessions_do_not_expire" {
  variables {
    expire_archives_after_days = 30
    config                     = { backup = { sources = [{ sessions = "/data/raw", archive = { key = "cold/{session}.{ext}" } }, { directory = "/data/a", archive = { key = "archives/{pass}.{ext}" } }] } }
  }

  assert {
    condition     = jsonencode([for rule in output.lifecycle_rules : rule if startswith(rule, "expire-") && !startswith(rule, "expire-noncurrent")]) == jsonencode(["expire-archives"])
    error_message = "Rules: ${jsonencode(output.lifecycle_rules)}"
  }
}

run "incremental_archives_take_the_defaults_into_account" {
  variables {
    expire_archives_after_days = 14
    config = { backup = {
      defaults = { archive = { incremental = false, full_every = "1 week" } }
      sources  = [{ directory = "/data", archive = { incremental = true, full_every = null } }, { directory = "/logs", archive = { full_every = "400d" } }]
    } }
  }

  assert {
    condition     = local.longest_chain_days == 7
    error_message = "full_every is taken for ${local.longest_chain_days} days."
  }
}

run "incremental_archives_may_expire_late_enough" {
  variables {
    expire_archives_after_days = 14
    config                     = { backup = { sources = [{ directory = "/data", archive = { incremental = true, full_every = "6d 23h 60m" } }] } }
  }

  assert {
    condition     = local.longest_chain_days == 7
    error_message = "full_every is taken for ${local.longest_chain_days} days."
  }
}
