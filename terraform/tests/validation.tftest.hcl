# What is wrong is refused before anything is made.

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

run "refuses_a_name_with_spaces" {
  command = plan

  variables {
    name = "my backup"
  }

  expect_failures = [var.name]
}

run "refuses_a_bucket_name_in_capitals" {
  command = plan

  variables {
    bucket_name = "Acme"
  }

  expect_failures = [var.bucket_name]
}

run "refuses_a_prefix_without_a_slash" {
  command = plan

  variables {
    prefix = "backups"
  }

  expect_failures = [var.prefix]
}

run "refuses_a_prefix_with_a_wildcard" {
  command = plan

  variables {
    prefix = "back*/"
  }

  expect_failures = [var.prefix]
}

run "refuses_an_owner_with_a_line_break" {
  command = plan

  variables {
    store_owner = "portal\nweb"
  }

  expect_failures = [var.store_owner]
}

run "refuses_an_owner_of_blanks" {
  command = plan

  variables {
    store_owner = "  "
  }

  expect_failures = [var.store_owner]
}

run "refuses_two_owners" {
  command = plan

  variables {
    store_owner = "portal"
    config      = { backup = { store_owner = "web" } }
  }

  expect_failures = [var.store_owner]
}

run "refuses_an_owner_that_is_too_long" {
  command = plan

  variables {
    store_owner = join("", [for n in range(201) : "x"])
  }

  expect_failures = [var.store_owner]
}

run "refuses_another_store_in_the_configuration" {
  command = plan

  variables {
    config = { backup = { store = "s3://acme-backups/portal/" } }
  }

  expect_failures = [var.config]
}

run "refuses_another_store_in_the_environment" {
  command = plan

  variables {
    environment = { OFFSITE_STORE = "s3://acme-backups/portal/" }
  }

  expect_failures = [var.environment]
}

run "refuses_an_owner_in_the_environment" {
  command = plan

  variables {
    environment = { OFFSITE_STORE_OWNER = "portal" }
  }

  expect_failures = [var.environment]
}

run "refuses_a_copy_in_a_directory" {
  command = plan

  variables {
    config = { backup = { copies = [{ store = "/data/copy" }] } }
  }

  expect_failures = [var.config]
}

run "refuses_a_copy_with_a_wildcard" {
  command = plan

  variables {
    config = { backup = { copies = [{ store = "s3://acme-elsewhere/portal/" }, { store = "s3://acme-elsewhere/port*/" }] } }
  }

  expect_failures = [var.config]
}

run "refuses_a_copy_without_a_store" {
  command = plan

  variables {
    config = { backup = { copies = [{ region = "eu-west-1" }] } }
  }

  expect_failures = [var.config]
}

run "refuses_keys_of_copies_that_are_not_made" {
  command = plan

  variables {
    copies_kms_key_arns = ["arn:aws:kms:eu-west-1:111122223333:key/there"]
  }

  expect_failures = [var.copies_kms_key_arns]
}

run "refuses_a_key_of_copies_by_its_alias" {
  command = plan

  variables {
    copies_kms_key_arns = ["alias/backups"]
    config              = { backup = { copies = [{ store = "s3://acme-elsewhere/portal/" }] } }
  }

  expect_failures = [var.copies_kms_key_arns]
}

run "refuses_a_key_by_its_alias" {
  command = plan

  variables {
    kms_key_arn = "alias/backups"
  }

  expect_failures = [var.kms_key_arn]
}

run "refuses_destroying_a_bucket_that_is_not_ours" {
  command = plan

  variables {
    create_bucket        = false
    force_destroy_bucket = true
  }

  expect_failures = [var.force_destroy_bucket]
}

run "refuses_uploads_that_are_aborted_at_once" {
  command = plan

  variables {
    abort_uploads_after_days = 0
  }

  expect_failures = [var.abort_uploads_after_days]
}

run "refuses_a_storage_class_by_its_long_name" {
  command = plan

  variables {
    tag_transitions = { x = { tag_key = "a", tag_value = "b", days = 1, storage_class = "GLACIER_FLEXIBLE_RETRIEVAL" } }
  }

  expect_failures = [var.tag_transitions]
}

run "refuses_standard_ia_too_early" {
  command = plan

  variables {
    tag_transitions = { x = { tag_key = "a", tag_value = "b", days = 7, storage_class = "STANDARD_IA" } }
  }

  expect_failures = [var.tag_transitions]
}

run "refuses_archives_that_expire_at_once" {
  command = plan

  variables {
    expire_archives_after_days = 0
  }

  expect_failures = [var.expire_archives_after_days]
}

run "refuses_archives_that_expire_before_the_next_full_one" {
  command = plan

  variables {
    expire_archives_after_days = 13
    config                     = { backup = { sources = [{ directory = "/data", archive = { incremental = true, full_every = "7d" } }] } }
  }

  expect_failures = [var.expire_archives_after_days]
}

run "refuses_archives_that_expire_before_the_next_full_one_in_seconds" {
  command = plan

  variables {
    expire_archives_after_days = 13
    config                     = { backup = { sources = [{ directory = "/data", archive = { incremental = true, full_every = 604800 } }] } }
  }

  expect_failures = [var.expire_archives_after_days]
}

run "refuses_archives_that_expire_with_no_full_one_in_sight" {
  command = plan

  variables {
    expire_archives_after_days = 400
    config                     = { backup = { defaults = { archive = { incremental = true } } } }
  }

  expect_failures = [var.expire_archives_after_days]
}

run "refuses_archives_that_expire_with_null_for_the_next_full_one" {
  command = plan

  variables {
    expire_archives_after_days = 30
    config                     = { backup = { sources = [{ directory = "/data", archive = { incremental = true, full_every = null } }] } }
  }

  expect_failures = [var.expire_archives_after_days]
}

run "refuses_archives_that_expire_with_a_source_that_is_incremental_by_default" {
  command = plan

  variables {
    expire_archives_after_days = 30
    config                     = { backup = { defaults = { archive = { incremental = true } }, sources = [{ directory = "/data", archive = { full_every = "7d" } }] } }
  }

  expect_failures = [var.expire_archives_after_days]
}

run "refuses_archives_that_expire_before_the_next_full_one_by_default" {
  command = plan

  variables {
    expire_archives_after_days = 13
    config                     = { backup = { defaults = { archive = { full_every = "7d" } }, sources = [{ directory = "/data", archive = { incremental = true } }] } }
  }

  expect_failures = [var.expire_archives_after_days]
}

run "refuses_archives_that_expire_before_the_next_full_one_in_seconds_as_text" {
  command = plan

  variables {
    expire_archives_after_days = 13
    config                     = { backup = { defaults = { archive = { incremental = true, full_every = "604800" } } } }
  }

  expect_failures = [var.expire_archives_after_days]
}

run "refuses_archives_that_expire_before_the_next_full_one_in_another_notation" {
  command = plan

  variables {
    expire_archives_after_days = 13
    config                     = { backup = { defaults = { archive = { incremental = true, full_every = "P7D" } } } }
  }

  expect_failures = [var.expire_archives_after_days]
}

run "refuses_archives_that_expire_and_are_incremental_by_the_environment" {
  command = plan

  variables {
    expire_archives_after_days = 400
    environment                = { OFFSITE_DEFAULTS__ARCHIVE__INCREMENTAL = "true" }
  }

  expect_failures = [var.expire_archives_after_days]
}

run "refuses_archives_that_expire_and_are_full_by_the_environment" {
  command = plan

  variables {
    expire_archives_after_days = 30
    config                     = { backup = { defaults = { archive = { incremental = true, full_every = "7d" } } } }
    environment                = { OFFSITE_DEFAULTS__ARCHIVE__FULL_EVERY = "400d" }
  }

  expect_failures = [var.expire_archives_after_days]
}

run "refuses_archives_that_expire_and_are_set_by_a_secret" {
  command = plan

  variables {
    expire_archives_after_days = 400
    secrets                    = { OFFSITE_ARCHIVE = "arn:aws:ssm:us-east-2:111122223333:parameter/portal/archive" }
  }

  expect_failures = [var.expire_archives_after_days]
}

run "refuses_sessions_that_expire" {
  command = plan

  variables {
    expire_archives_after_days = 400
    config                     = { backup = { sources = [{ sessions = "/data", archive = { key = "archives/{session}.{ext}" } }] } }
  }

  expect_failures = [var.expire_archives_after_days]
}

run "refuses_notes_of_sessions_that_expire" {
  command = plan

  variables {
    expire_archives_after_days = 400
    config                     = { backup = { sources = [{ sessions = "/data", notes_key = "archives/{session}_{name}" }] } }
  }

  expect_failures = [var.expire_archives_after_days]
}

run "refuses_dumps_that_expire_at_once" {
  command = plan

  variables {
    expire_databases_after_days = 0.5
  }

  expect_failures = [var.expire_databases_after_days]
}

run "refuses_versions_that_expire_at_once" {
  command = plan

  variables {
    expire_noncurrent_after_days = 0
  }

  expect_failures = [var.expire_noncurrent_after_days]
}

run "refuses_a_replica_by_its_name" {
  command = plan

  variables {
    replication = { bucket_arn = "acme-replica" }
  }

  expect_failures = [var.replication]
}

run "refuses_a_replica_in_no_class" {
  command = plan

  variables {
    replication = { bucket_arn = "arn:aws:s3:::acme-replica", storage_class = "COLD" }
  }

  expect_failures = [var.replication]
}

run "refuses_a_key_here_and_none_there" {
  command = plan

  variables {
    kms_key_arn = "arn:aws:kms:us-east-2:111122223333:key/here"
    replication = { bucket_arn = "arn:aws:s3:::acme-replica" }
  }

  expect_failures = [aws_s3_bucket_replication_configuration.this]
}

run "refuses_a_key_in_the_configuration_and_none_there" {
  command = plan

  variables {
    config      = { backup = { s3 = { encryption = "aws:kms", kms_key_id = "arn:aws:kms:us-east-2:111122223333:key/own" } } }
    replication = { bucket_arn = "arn:aws:s3:::acme-replica" }
  }

  expect_failures = [aws_s3_bucket_replication_configuration.this]
}

run "refuses_the_key_of_the_account_here_and_none_there" {
  command = plan

  variables {
    config      = { backup = { s3 = { encryption = "aws:kms" } } }
    replication = { bucket_arn = "arn:aws:s3:::acme-replica" }
  }

  expect_failures = [aws_s3_bucket_replication_configuration.this]
}

run "refuses_a_key_in_the_configuration_by_its_alias" {
  command = plan

  variables {
    config = { backup = { s3 = { encryption = "aws:kms", kms_key_id = "alias/backups" } } }
  }

  expect_failures = [var.config]
}

run "refuses_a_key_in_the_configuration_by_the_arn_of_its_alias" {
  command = plan

  variables {
    config = { backup = { s3 = { encryption = "aws:kms", kms_key_id = "arn:aws:kms:us-east-2:111122223333:alias/backups" } } }
  }

  expect_failures = [var.config]
}

run "refuses_a_key_in_the_configuration_by_its_bare_id" {
  command = plan

  variables {
    config = { backup = { s3 = { encryption = "aws:kms", kms_key_id = "11111111-2222-3333-4444-555555555555" } } }
  }

  expect_failures = [var.config]
}

run "refuses_a_key_in_the_environment_by_its_alias" {
  command = plan

  variables {
    environment = { OFFSITE_S3__ENCRYPTION = "aws:kms", OFFSITE_S3__KMS_KEY_ID = "alias/backups" }
  }

  expect_failures = [var.environment]
}

run "refuses_a_configuration_without_its_top" {
  command = plan

  variables {
    config = { s3 = { bucket = "acme" } }
  }

  expect_failures = [var.config]
}

run "refuses_a_configuration_for_another_store" {
  command = plan

  variables {
    config = { backup = { s3 = { endpoint_url = "http://minio:9000" } } }
  }

  expect_failures = [var.config]
}

run "refuses_a_configuration_that_repeats" {
  command = plan

  variables {
    config = { backup = { s3 = { interval_seconds = 900 } } }
  }

  expect_failures = [var.config]
}

run "refuses_a_configuration_that_is_text" {
  command = plan

  variables {
    config = "backup:"
  }

  expect_failures = [var.config]
}

run "refuses_a_bucket_in_the_environment" {
  command = plan

  variables {
    environment = { OFFSITE_S3__BUCKET = "other" }
  }

  expect_failures = [var.environment]
}

run "refuses_a_secret_as_it_is" {
  command = plan

  variables {
    secrets = { PGPASSWORD = "hunter2" }
  }

  expect_failures = [var.secrets]
}

run "refuses_a_name_that_is_a_secret_and_not" {
  command = plan

  variables {
    environment = { PGPASSWORD = "x" }
    secrets     = { PGPASSWORD = "arn:aws:ssm:us-east-2:111122223333:parameter/portal/password" }
  }

  expect_failures = [var.secrets]
}

run "refuses_a_secret_key_by_its_alias" {
  command = plan

  variables {
    secrets_kms_key_arns = ["alias/secrets"]
  }

  expect_failures = [var.secrets_kms_key_arns]
}

run "refuses_an_image_without_a_tag" {
  command = plan

  variables {
    image = "ghcr.io/acme/offsite"
  }

  expect_failures = [var.image]
}

run "refuses_no_command" {
  command = plan

  variables {
    command = []
  }

  expect_failures = [var.command]
}

run "refuses_two_volumes_of_one_name" {
  command = plan

  variables {
    volumes = [{ name = "a", container_path = "/a", file_system_id = "fs-01" }, { name = "a", container_path = "/b", file_system_id = "fs-01" }]
  }

  expect_failures = [var.volumes]
}

run "refuses_two_volumes_in_one_place" {
  command = plan

  variables {
    volumes = [{ name = "a", container_path = "/a", file_system_id = "fs-01" }, { name = "b", container_path = "/a", file_system_id = "fs-01" }]
  }

  expect_failures = [var.volumes]
}

run "refuses_a_volume_in_the_root" {
  command = plan

  variables {
    volumes = [{ name = "a", container_path = "/", file_system_id = "fs-01" }]
  }

  expect_failures = [var.volumes]
}

run "refuses_a_volume_of_nothing" {
  command = plan

  variables {
    volumes = [{ name = "a", container_path = "/a", file_system_id = "data" }]
  }

  expect_failures = [var.volumes]
}

run "refuses_an_access_point_by_its_name" {
  command = plan

  variables {
    volumes = [{ name = "a", container_path = "/a", file_system_id = "fs-01", access_point_id = "data" }]
  }

  expect_failures = [var.volumes]
}

run "refuses_a_path_below_an_access_point" {
  command = plan

  variables {
    volumes = [{ name = "a", container_path = "/a", file_system_id = "fs-01", access_point_id = "fsap-01", path = "/x" }]
  }

  expect_failures = [var.volumes]
}

run "refuses_nothing_to_back_up" {
  command = plan

  variables {
    volumes = []
  }

  expect_failures = [aws_ecs_task_definition.this]
}

run "refuses_a_configuration_that_does_not_fit" {
  command = plan

  variables {
    config = { backup = { defaults = { exclude = [join("", [for n in range(1000) : "a name that is fifty characters long, or more than so"])] } } }
  }

  expect_failures = [aws_ecs_task_definition.this]
}

run "refuses_a_cluster_by_its_name" {
  command = plan

  variables {
    cluster_arn = "default"
  }

  expect_failures = [var.cluster_arn]
}

run "refuses_no_subnets" {
  command = plan

  variables {
    subnet_ids = []
  }

  expect_failures = [var.subnet_ids]
}

run "refuses_no_security_groups" {
  command = plan

  variables {
    security_group_ids = []
  }

  expect_failures = [var.security_group_ids]
}

run "refuses_an_unknown_processor" {
  command = plan

  variables {
    cpu_architecture = "arm64"
  }

  expect_failures = [var.cpu_architecture]
}

run "refuses_cpu_that_fargate_does_not_have" {
  command = plan

  variables {
    cpu = 300
  }

  expect_failures = [var.cpu]
}

run "refuses_memory_that_does_not_go_with_cpu" {
  command = plan

  variables {
    cpu    = 256
    memory = 4096
  }

  expect_failures = [var.memory]
}

run "refuses_a_platform_without_efs" {
  command = plan

  variables {
    platform_version = "1.3.0"
  }

  expect_failures = [var.platform_version]
}

run "refuses_a_boundary_that_is_a_role" {
  command = plan

  variables {
    permissions_boundary_arn = "arn:aws:iam::111122223333:role/boundary"
  }

  expect_failures = [var.permissions_boundary_arn]
}

run "refuses_a_rate_in_the_wrong_number" {
  command = plan

  variables {
    schedule_expression = "rate(1 hours)"
  }

  expect_failures = [var.schedule_expression]
}

run "refuses_a_cron_of_five_fields" {
  command = plan

  variables {
    schedule_expression = "cron(15 2 * * *)"
  }

  expect_failures = [var.schedule_expression]
}

run "refuses_a_zone_by_its_offset" {
  command = plan

  variables {
    schedule_timezone = "+01:00"
  }

  expect_failures = [var.schedule_timezone]
}

run "refuses_a_rule_with_a_zone" {
  command = plan

  variables {
    use_event_rule    = true
    schedule_timezone = "Europe/Berlin"
  }

  expect_failures = [var.schedule_timezone]
}

run "refuses_a_window_of_two_days" {
  command = plan

  variables {
    schedule_flexible_minutes = 2880
  }

  expect_failures = [var.schedule_flexible_minutes]
}

run "refuses_a_rule_with_a_window" {
  command = plan

  variables {
    use_event_rule            = true
    schedule_flexible_minutes = 15
  }

  expect_failures = [var.schedule_flexible_minutes]
}

run "refuses_too_many_retries" {
  command = plan

  variables {
    schedule_retries = 186
  }

  expect_failures = [var.schedule_retries]
}

run "refuses_retries_for_too_long" {
  command = plan

  variables {
    schedule_retry_seconds = 90000
  }

  expect_failures = [var.schedule_retry_seconds]
}

run "refuses_a_verification_at_no_time" {
  command = plan

  variables {
    verify = { schedule_expression = "weekly" }
  }

  expect_failures = [var.verify]
}

run "refuses_a_verification_of_too_much" {
  command = plan

  variables {
    verify = { schedule_expression = "rate(7 days)", read = "200%" }
  }

  expect_failures = [var.verify]
}

run "refuses_a_retention_logs_do_not_have" {
  command = plan

  variables {
    log_retention_days = 42
  }

  expect_failures = [var.log_retention_days]
}

run "refuses_a_log_key_by_its_alias" {
  command = plan

  variables {
    log_kms_key_arn = "alias/logs"
  }

  expect_failures = [var.log_kms_key_arn]
}

run "refuses_mail_to_nowhere" {
  command = plan

  variables {
    alarm_emails = ["ops"]
  }

  expect_failures = [var.alarm_emails]
}

run "refuses_a_topic_by_its_name" {
  command = plan

  variables {
    alarm_topic_arns = ["pager"]
  }

  expect_failures = [var.alarm_topic_arns]
}

run "refuses_an_alarm_key_by_its_alias" {
  command = plan

  variables {
    alarm_kms_key_arn = "alias/aws/sns"
  }

  expect_failures = [var.alarm_kms_key_arn]
}

run "refuses_an_alarm_after_more_than_a_week" {
  command = plan

  variables {
    missing_backup_hours = 169
  }

  expect_failures = [var.missing_backup_hours]
}

run "refuses_an_alarm_before_the_next_pass" {
  command = plan

  variables {
    schedule_expression  = "rate(1 day)"
    missing_backup_hours = 24
  }

  expect_failures = [var.missing_backup_hours]
}

run "refuses_a_lock_that_is_never_too_long" {
  command = plan

  variables {
    lock_held_alarm = { hours = 48 }
  }

  expect_failures = [var.lock_held_alarm]
}

run "refuses_an_exit_code_that_cannot_be" {
  command = plan

  variables {
    quiet_exit_codes = [256]
  }

  expect_failures = [var.quiet_exit_codes]
}

run "refuses_a_retention_that_keeps_nothing" {
  command = plan

  variables {
    retention = { grace = "7d", daily = 0 }
  }

  expect_failures = [var.retention]
}

run "refuses_a_retention_of_halves" {
  command = plan

  variables {
    retention = { daily = 1.5 }
  }

  expect_failures = [var.retention]
}

run "refuses_a_retention_of_soon" {
  command = plan

  variables {
    retention = { keep_within = "soon" }
  }

  expect_failures = [var.retention]
}

run "refuses_two_retentions" {
  command = plan

  variables {
    retention = { daily = 7 }
    config    = { backup = { defaults = { retention = { daily = 30 } } } }
  }

  expect_failures = [var.retention]
}

run "refuses_prune_without_a_retention" {
  command = plan

  variables {
    prune_enabled = true
  }

  expect_failures = [var.prune_enabled]
}

run "refuses_a_prune_schedule_in_words" {
  command = plan

  variables {
    retention                 = { daily = 7 }
    prune_enabled             = true
    prune_schedule_expression = "weekly"
  }

  expect_failures = [var.prune_schedule_expression]
}

run "refuses_deleting_without_prune" {
  command = plan

  variables {
    allow_delete = true
  }

  expect_failures = [var.allow_delete]
}

run "refuses_a_source_of_a_bucket_in_the_configuration" {
  command = plan

  variables {
    config = { backup = { sources = [{ name = "documents", bucket = { name = "acme-documents" } }] } }
  }

  expect_failures = [var.config]
}

run "refuses_two_buckets_of_one_name" {
  command = plan

  variables {
    bucket_sources = [{ name = "documents", bucket = "acme-documents" }, { name = "documents", bucket = "acme-logs" }]
  }

  expect_failures = [var.bucket_sources]
}

run "refuses_a_bucket_called_as_a_source_of_the_configuration" {
  command = plan

  variables {
    bucket_sources = [{ name = "data", bucket = "acme-documents" }]
    config         = { backup = { sources = [{ name = "data", directory = "/data" }] } }
  }

  expect_failures = [var.bucket_sources]
}

run "refuses_a_bucket_with_its_scheme" {
  command = plan

  variables {
    bucket_sources = [{ name = "documents", bucket = "s3://acme-documents" }]
  }

  expect_failures = [var.bucket_sources]
}

run "refuses_a_prefix_of_a_bucket_that_means_more_in_a_policy" {
  command = plan

  variables {
    bucket_sources = [{ name = "documents", bucket = "acme-documents", prefix = "up*/" }]
  }

  expect_failures = [var.bucket_sources]
}

run "refuses_a_prefix_of_a_bucket_without_a_slash" {
  command = plan

  variables {
    bucket_sources = [{ name = "documents", bucket = "acme-documents", prefix = "uploads" }]
  }

  expect_failures = [var.bucket_sources]
}

run "refuses_backups_that_back_up_themselves" {
  command = plan

  variables {
    bucket_sources = [{ name = "all", bucket = "acme-backups" }]
  }

  expect_failures = [var.bucket_sources]
}

run "refuses_a_region_of_a_bucket_that_is_a_zone" {
  command = plan

  variables {
    bucket_sources = [{ name = "documents", bucket = "acme-documents", region = "eu-central-1a" }]
  }

  expect_failures = [var.bucket_sources]
}

run "refuses_tags_of_a_bucket_that_are_neither_kept_nor_ignored" {
  command = plan

  variables {
    bucket_sources = [{ name = "documents", bucket = "acme-documents", tags = "copy" }]
  }

  expect_failures = [var.bucket_sources]
}

run "refuses_a_storage_class_of_copies_that_is_none" {
  command = plan

  variables {
    bucket_sources = [{ name = "documents", bucket = "acme-documents", storage_class = "COLD" }]
  }

  expect_failures = [var.bucket_sources]
}

run "refuses_an_alias_of_the_key_of_a_bucket" {
  command = plan

  variables {
    bucket_sources = [{ name = "documents", bucket = "acme-documents", kms_key_arn = "alias/documents" }]
  }

  expect_failures = [var.bucket_sources]
}

run "refuses_restorers_that_are_no_principals" {
  command = plan

  variables {
    bucket_sources         = [{ name = "documents", bucket = "acme-documents", restore = true }]
    restore_principal_arns = ["on-call"]
  }

  expect_failures = [var.restore_principal_arns]
}

run "refuses_restorers_of_nothing" {
  command = plan

  variables {
    bucket_sources         = [{ name = "documents", bucket = "acme-documents" }]
    restore_principal_arns = ["arn:aws:iam::111122223333:role/on-call"]
  }

  expect_failures = [var.restore_principal_arns]
}
