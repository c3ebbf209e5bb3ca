# A bucket has one lifecycle configuration. Terraform replaces it as a whole, so that of an existing bucket
# is left alone unless asked for.

locals {
  manage_lifecycle = coalesce(var.manage_lifecycle, var.create_bucket)

  # What config says of archives: the defaults, and each source, whose own settings win over them. Null is
  # not set, here and for the program.
  archive_settings = [
    for own in concat([null], [for source in local.sources : try(source.archive, null)]) : {
      for setting in ["incremental", "full_every"] : setting => try([
        for value in [try(own[setting], null), try(local.backup_config.defaults.archive[setting], null)] : value if value != null
      ][0], null)
    }
  ]
  # How often a full archive is made, where archives are incremental. What is neither true nor false counts
  # as true: the guard errs on the side of keeping.
  chains = [for settings in local.archive_settings : settings.full_every if try(tobool(settings.incremental), true) == true]
  # Incremental archives whose configuration does not say how often a full one is made.
  endless_chain = anytrue([for full_every in local.chains : full_every == null])

  # The duration is a number of seconds or text like `7d` or `1h 30m`. The program reads more than that; what
  # cannot be read here counts as ten years, the longest it takes.
  seconds_in = { w = 604800, d = 86400, h = 3600, m = 60, s = 1 }
  chain_days = [
    for text in [for full_every in local.chains : try(trimspace(tostring(full_every)), "?") if full_every != null] : try(
      tonumber(text),
      sum([
        for part in regexall("([0-9.]+)\\s*([wdhms])", regex("^(?:[0-9]+(?:\\.[0-9]+)?\\s*(?:w|d|h|m|s|weeks?|days?|hours?|minutes?|seconds?),?\\s*)+$", text)) :
        tonumber(part[0]) * local.seconds_in[part[1]]
      ]),
      3650 * 86400,
    ) / 86400
  ]
  # The longest time between two full archives; 0 where no archive is incremental.
  longest_chain_days = max(concat([0], local.chain_days)...)

  # Sessions whose archives or notes are where archives expire.
  sessions_in_archives = anytrue(flatten([
    for source in local.sources : [
      for key in [try(source.archive.key, null), try(source.notes_key, null)] : try(startswith(key, "archives/"), false)
    ] if try(source.sessions, null) != null
  ]))
}

module "lifecycle" {
  source = "./modules/lifecycle"
  count  = local.manage_lifecycle ? 1 : 0

  bucket                       = local.bucket
  prefix                       = local.prefix
  abort_uploads_after_days     = var.abort_uploads_after_days
  tag_transitions              = var.tag_transitions
  expire_archives_after_days   = var.expire_archives_after_days
  expire_databases_after_days  = var.expire_databases_after_days
  expire_noncurrent_after_days = var.expire_noncurrent_after_days
}
