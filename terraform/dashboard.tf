# One page: is it all right, when did it last happen, how long does it take, how much is there.

locals {
  # Widgets are placed on a grid of 24 columns.
  graphs = [
    { title = "Passes", metrics = ["BackupCompleted", "BackupIncomplete", "BackupFailed", "LockHeld"], stat = "Sum" },
    { title = "Files that could not be read or sent", metrics = ["FileUnreadable", "FileUploadFailed", "SourceFailed", "SegmentDamaged", "LockLost", "CopyFailed"], stat = "Sum" },
    { title = "Duration of a pass", metrics = ["Duration"], stat = "Maximum" },
    { title = "Uploaded bytes", metrics = ["UploadedBytes"], stat = "Sum" },
    { title = "Bytes in the snapshot", metrics = ["Bytes"], stat = "Maximum" },
    { title = "Files in the snapshot, and uploaded", metrics = ["Files", "UploadedFiles"], stat = "Maximum" },
    { title = "Requests of a pass", metrics = ["Requests"], stat = "Maximum" },
  ]

  widgets = concat(
    [{
      type   = "alarm"
      x      = 0
      y      = 0
      width  = 24
      height = 3
      properties = {
        title = "Backup ${var.name}"
        alarms = concat(
          aws_cloudwatch_metric_alarm.missing[*].arn,
          [for alarm in aws_cloudwatch_metric_alarm.event : alarm.arn],
          [aws_cloudwatch_metric_alarm.not_started.arn],
        )
      }
    }],
    [
      for index, graph in local.graphs : {
        type   = "metric"
        x      = 8 * (index % 3)
        y      = 3 + 6 * floor(index / 3)
        width  = 8
        height = 6
        properties = {
          title   = graph.title
          region  = local.region
          view    = "timeSeries"
          stacked = false
          stat    = graph.stat
          period  = 3600
          metrics = [for metric in graph.metrics : [local.namespace, metric]]
        }
      }
    ],
    [{
      type   = "log"
      x      = 0
      y      = 3 + 6 * ceil(length(local.graphs) / 3)
      width  = 24
      height = 8
      properties = {
        title  = "What went wrong"
        region = local.region
        view   = "table"
        query  = "SOURCE '${local.log_group}' | fields @timestamp, event, source, path, error, hint | filter level = 'ERROR' or level = 'WARN' | sort @timestamp desc | limit 50"
      }
    }],
  )
}

resource "aws_cloudwatch_dashboard" "this" {
  count = var.create_dashboard ? 1 : 0

  dashboard_name = var.name
  dashboard_body = jsonencode({ widgets = local.widgets })
}
