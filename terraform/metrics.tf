# Metrics out of events. Names and fields are those of docs/EVENTS.md.

locals {
  namespace = "Offsite/${var.name}"

  # How often something happened.
  counters = merge({
    BackupCompleted  = "{ $.event = \"backup_completed\" }"
    BackupIncomplete = "{ ($.event = \"backup_completed\") && ($.exit_code = 3) }"
    # A pass that finds the lock held also ends with backup_failed, and is no failure of its own.
    BackupFailed     = "{ ($.event = \"backup_failed\") && ($.exit_code != 11) }"
    LockHeld         = "{ $.event = \"lock_held\" }"
    LockLost         = "{ $.event = \"lock_lost\" }"
    SourceFailed     = "{ $.event = \"source_failed\" }"
    FileUnreadable   = "{ $.event = \"file_unreadable\" }"
    FileUploadFailed = "{ $.event = \"file_upload_failed\" }"
    SegmentDamaged   = "{ $.event = \"segment_damaged\" }"
    AnomalousLoss    = "{ $.event = \"anomalous_loss\" }"
    }, !local.has_retention ? {} : {
    # One that finds the lock held comes again.
    PruneFailed = "{ ($.event = \"prune_failed\") && ($.exit_code != 11) }"
    }, length(local.configured_copies) == 0 ? {} : {
    CopyFailed = "{ $.event = \"copy_failed\" }"
  })

  # What a pass that completed says of itself.
  measurements = {
    Files         = { field = "files", unit = "Count" }
    Bytes         = { field = "bytes", unit = "Bytes" }
    UploadedFiles = { field = "uploaded_files", unit = "Count" }
    UploadedBytes = { field = "uploaded_bytes", unit = "Bytes" }
    Duration      = { field = "duration_ms", unit = "Milliseconds" }
    Requests      = { field = "requests", unit = "Count" }
  }
}

resource "aws_cloudwatch_log_metric_filter" "counter" {
  for_each = local.counters

  name           = "${var.name}-${each.key}"
  log_group_name = aws_cloudwatch_log_group.this.name
  pattern        = each.value

  metric_transformation {
    namespace     = local.namespace
    name          = each.key
    value         = "1"
    default_value = "0"
    unit          = "Count"
  }
}

resource "aws_cloudwatch_log_metric_filter" "measurement" {
  for_each = local.measurements

  name           = "${var.name}-${each.key}"
  log_group_name = aws_cloudwatch_log_group.this.name
  pattern        = "{ $.event = \"backup_completed\" }"

  # No default value: a line that is not about the end of a pass says nothing about it.
  metric_transformation {
    namespace = local.namespace
    name      = each.key
    value     = "$.${each.value.field}"
    unit      = each.value.unit
  }
}
