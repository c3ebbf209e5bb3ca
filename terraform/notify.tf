# Where alarms go.

resource "aws_sns_topic" "alarms" {
  name              = "${var.name}-alarms"
  display_name      = "Backup ${var.name}"
  kms_master_key_id = var.alarm_kms_key_arn
  tags              = local.tags
}

resource "aws_sns_topic_policy" "alarms" {
  arn = aws_sns_topic.alarms.arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "AlarmsOfThisAccount"
        Effect    = "Allow"
        Principal = { Service = "cloudwatch.amazonaws.com" }
        Action    = "sns:Publish"
        Resource  = aws_sns_topic.alarms.arn
        Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
      },
      {
        # No Condition: EventBridge does not support any in the policy of a topic that a rule publishes to
        # (EventBridge User Guide, "Amazon SNS permissions"), and with one its messages would not arrive.
        Sid       = "Rules"
        Effect    = "Allow"
        Principal = { Service = "events.amazonaws.com" }
        Action    = "sns:Publish"
        Resource  = aws_sns_topic.alarms.arn
      },
    ]
  })
}

resource "aws_sns_topic_subscription" "email" {
  for_each = var.alarm_emails

  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = each.value
}

locals {
  # Keys that are known before anything is made, for for_each.
  topics = merge(
    { own = aws_sns_topic.alarms.arn },
    { for arn in var.alarm_topic_arns : arn => arn },
  )
}
