# Further buckets that get what is in the first one after each pass: `copies` in config. They are there already, in
# whatever region and account; modules/replica makes one.

locals {
  configured_copies = try([for copy in local.backup_config.copies : copy], [])

  # Those that the task writes to with its own role. A profile or another server has credentials of its own.
  copies = [
    for copy in local.configured_copies : {
      bucket_arn = "arn:${local.partition}:s3:::${regex("^s3://([^/]*)", copy.store)[0]}"
      # As the program has it: empty, or with a slash at its end.
      prefix = join("", [for directory in regexall("/([^/]+)", trimprefix(copy.store, "s3://")) : "${directory[0]}/"])
    }
    if try(copy.profile, null) == null && try(copy.endpoint_url, null) == null && can(regex("^s3://[^/]", copy.store))
  ]
}
