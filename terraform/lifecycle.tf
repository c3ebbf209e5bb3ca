# A bucket has one lifecycle configuration. Terraform replaces it as a whole, so that of an existing bucket
# is left alone unless asked for.

locals {
  manage_lifecycle = coalesce(var.manage_lifecycle, var.create_bucket)

  # Everything the program's configuration says of incremental archives, wherever it says it. The
  # duration is a number of seconds or text like `7d` or `1h 30m`.
  config_json = jsonencode(var.config)
  seconds_in  = { w = 604800, d = 86400, h = 3600, m = 60, s = 1 }
  full_every_texts = flatten([
    regexall("\"full_every\":\"([^\"]*)\"", local.config_json),
    [for seconds in flatten(regexall("\"full_every\":([0-9.]+)", local.config_json)) : "${seconds}s"],
  ])
  full_every_days = [
    for text in local.full_every_texts : sum(concat([0], [
      for part in regexall("([0-9.]+)\\s*([wdhms])", text) : tonumber(part[0]) * local.seconds_in[part[1]]
    ])) / 86400
  ]
  # The longest time between two full archives; 0 where no archive is incremental.
  longest_chain_days = max(concat([0], local.full_every_days)...)
  # Incremental archives whose configuration does not say how often a full one is made.
  endless_chain = anytrue([
    for block in regexall("\"archive\":\\{[^}]*\\}", local.config_json) :
    can(regex("\"incremental\":true", block)) && !can(regex("\"full_every\"", block))
  ])
}

module "lifecycle" {
  source = "./modules/lifecycle"
  count  = local.manage_lifecycle ? 1 : 0

  bucket                       = local.bucket
  prefix                       = var.prefix
  abort_uploads_after_days     = var.abort_uploads_after_days
  tag_transitions              = var.tag_transitions
  expire_archives_after_days   = var.expire_archives_after_days
  expire_databases_after_days  = var.expire_databases_after_days
  expire_noncurrent_after_days = var.expire_noncurrent_after_days
}
