# Every variable says what it is for, and what is wrong says how to mend it.

# What it is called

variable "name" {
  description = "Name of this backup: of its task family, roles, schedule, alarms and log group."
  type        = string
  default     = "offsite"
  nullable    = false

  validation {
    # The longest name made of it, a role's, has 64 characters.
    condition     = can(regex("^[A-Za-z][A-Za-z0-9-]{0,39}$", var.name))
    error_message = "name has 1 to 40 letters, digits and hyphens, and begins with a letter."
  }
}

variable "tags" {
  description = "Tags of everything that takes tags."
  type        = map(string)
  default     = {}
  nullable    = false
}

# Where backups go

variable "bucket_name" {
  description = "Name of the bucket."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", var.bucket_name))
    error_message = "A bucket's name has 3 to 63 small letters, digits, dots and hyphens, and begins and ends with a letter or digit: name it like `acme-backups`."
  }
}

variable "create_bucket" {
  description = "Whether to create the bucket; false uses the one that exists under bucket_name."
  type        = bool
  default     = true
  nullable    = false
}

variable "prefix" {
  description = "Where in the bucket the backups are: empty, or ending with a slash; null for name and a slash. Several backups share a bucket with a prefix each."
  type        = string
  default     = null

  validation {
    condition     = var.prefix == null ? true : can(regex("^([A-Za-z0-9_.=-]+/)*$", var.prefix)) && length(var.prefix) <= 124
    error_message = "prefix is empty, or path components of letters, digits and `_.=-` that each end with a slash, 124 characters at most: write `backups/`. Other characters have meanings of their own in policies."
  }
}

variable "store_owner" {
  description = "Whose store it is: passes of another owner are refused. Null is what config says, and where it says nothing, name; empty adds nothing to config."
  type        = string
  default     = null

  validation {
    condition     = var.store_owner == null ? true : can(regex("^([^[:cntrl:]]*[^[:cntrl:][:space:]][^[:cntrl:]]*)?$", var.store_owner)) && length(var.store_owner) <= 200
    error_message = "store_owner has 1 to 200 characters and no control characters, as `portal`; null is name, and empty sets no owner."
  }

  validation {
    condition     = local.configured_owner == null || var.store_owner == null || var.store_owner == "" ? true : local.configured_owner == var.store_owner
    error_message = "store_owner and backup.store_owner in config name two owners: leave one of them out."
  }
}

variable "kms_key_arn" {
  description = "ARN of the KMS key that the bucket encrypts with; null for S3's own keys (SSE-S3). With an existing bucket: the key it uses, so that the task may use it."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.kms_key_arn))
    error_message = "kms_key_arn is the ARN of a key (arn:aws:kms:<region>:<account>:key/<id>), not an alias or a bare id: permissions are written for keys."
  }
}

variable "force_destroy_bucket" {
  description = "Whether `terraform destroy` may delete the bucket with every backup in it. For trials."
  type        = bool
  default     = false
  nullable    = false

  validation {
    condition     = !var.force_destroy_bucket || var.create_bucket
    error_message = "force_destroy_bucket has no effect on a bucket that is not created here: leave it out, or set create_bucket."
  }
}

# How long they stay, and at what price

variable "manage_lifecycle" {
  description = "Whether to set the bucket's lifecycle configuration, which replaces the one it has. Null: only where the bucket is created here."
  type        = bool
  default     = null
}

variable "abort_uploads_after_days" {
  description = "Days after which multipart uploads that were never completed are aborted."
  type        = number
  default     = 7
  nullable    = false

  validation {
    condition     = var.abort_uploads_after_days >= 1 && floor(var.abort_uploads_after_days) == var.abort_uploads_after_days
    error_message = "abort_uploads_after_days is a whole number of days, at least 1; it has to be longer than a pass takes."
  }
}

variable "tag_transitions" {
  description = "Transitions to cheaper storage classes by object tag; the keys name the rules. Which objects get which tags is said in the program's configuration."
  type = map(object({
    tag_key       = string
    tag_value     = string
    days          = number
    storage_class = string
  }))
  default = {
    fast         = { tag_key = "archive", tag_value = "fast", days = 7, storage_class = "DEEP_ARCHIVE" }
    normal       = { tag_key = "archive", tag_value = "normal", days = 30, storage_class = "DEEP_ARCHIVE" }
    delayed      = { tag_key = "archive", tag_value = "delayed", days = 90, storage_class = "GLACIER" }
    deep-archive = { tag_key = "backup", tag_value = "deep-archive", days = 0, storage_class = "DEEP_ARCHIVE" }
  }
  nullable = false

  validation {
    condition = alltrue([
      for transition in var.tag_transitions : contains(
        ["STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"],
        transition.storage_class,
      )
    ])
    error_message = "storage_class of a transition is one of STANDARD_IA, ONEZONE_IA, INTELLIGENT_TIERING, GLACIER_IR, GLACIER, DEEP_ARCHIVE. Glacier Flexible Retrieval is called GLACIER here."
  }

  validation {
    condition = alltrue([
      for transition in var.tag_transitions :
      transition.days >= (contains(["STANDARD_IA", "ONEZONE_IA"], transition.storage_class) ? 30 : 0)
      && floor(transition.days) == transition.days
    ])
    error_message = "days of a transition is a whole number, at least 0; S3 takes nothing below 30 for STANDARD_IA and ONEZONE_IA: set those classes in the program's configuration instead."
  }
}

variable "expire_archives_after_days" {
  description = "Days after which tar archives below archives/, where they are unless archive.key says otherwise, are deleted; null for never. With incremental archives, at least twice full_every. Archives of sessions, below raw/, and those with a key of their own that begins elsewhere stay: a session is archived once."
  type        = number
  default     = null

  validation {
    condition     = var.expire_archives_after_days == null ? true : var.expire_archives_after_days >= 1 && floor(var.expire_archives_after_days) == var.expire_archives_after_days
    error_message = "expire_archives_after_days is a whole number of days, at least 1, or null."
  }

  # A snapshot made by incremental archives needs every archive back to the last full one, which is up to
  # full_every older. Deleted by age, that one goes first and takes the snapshot with it. Twice full_every
  # keeps the newest snapshot whole even while the next full archive is as late as it may be.
  validation {
    condition     = var.expire_archives_after_days == null ? true : !local.endless_chain
    error_message = "config has incremental archives without full_every, and a full archive that expires breaks every snapshot that points into it: set full_every, or leave expire_archives_after_days out."
  }

  validation {
    condition     = var.expire_archives_after_days == null ? true : var.expire_archives_after_days >= 2 * local.longest_chain_days
    error_message = "Snapshots of incremental archives point into archives as old as full_every, and one that expires breaks them: set expire_archives_after_days to at least twice the longest full_every in config (which is written like `7d`), or leave it out."
  }

  # Names of variables are known here, but what they do to the configuration only to the program.
  validation {
    condition     = var.expire_archives_after_days == null ? true : !anytrue([for name in concat(keys(var.environment), keys(var.secrets)) : can(regex("^OFFSITE_.*ARCHIVE", upper(name)))])
    error_message = "environment or secrets set archives by an OFFSITE_…ARCHIVE… variable, and what expires has to be seen here: set it in config instead, as backup.defaults.archive, or leave expire_archives_after_days out."
  }

  # A session is archived once, and every snapshot since then points to that archive.
  validation {
    condition     = var.expire_archives_after_days == null ? true : !local.sessions_in_archives
    error_message = "A source in config puts sessions or their notes below archives/, where they would expire, and a session is archived once: let its archive.key and notes_key begin elsewhere, or leave expire_archives_after_days out."
  }
}

variable "expire_databases_after_days" {
  description = "Days after which database dumps are deleted; null for never."
  type        = number
  default     = null

  validation {
    condition     = var.expire_databases_after_days == null ? true : var.expire_databases_after_days >= 1 && floor(var.expire_databases_after_days) == var.expire_databases_after_days
    error_message = "expire_databases_after_days is a whole number of days, at least 1, or null."
  }
}

variable "expire_noncurrent_after_days" {
  description = "Days for which a deleted or overwritten object can still be brought back from the bucket's versions."
  type        = number
  default     = 30
  nullable    = false

  validation {
    condition     = var.expire_noncurrent_after_days >= 1 && floor(var.expire_noncurrent_after_days) == var.expire_noncurrent_after_days
    error_message = "expire_noncurrent_after_days is a whole number of days, at least 1."
  }
}

variable "retention" {
  description = "Which snapshots prune keeps, as `backup.defaults.retention` in config; a source's own `retention` in config wins over it. Null is what config says, and where it says nothing, everything is kept. `{ keep_within = \"14d\", daily = 30, monthly = 12 }`, for example."
  type = object({
    keep_last   = optional(number)
    keep_within = optional(string)
    hourly      = optional(number)
    daily       = optional(number)
    weekly      = optional(number)
    monthly     = optional(number)
    yearly      = optional(number)
    timezone    = optional(string)
    grace       = optional(string)
    after_pass  = optional(bool)
  })
  default = null

  validation {
    condition     = var.retention == null || local.configured_retention == null
    error_message = "retention and backup.defaults.retention in config both say what is kept: leave one of them out."
  }

  validation {
    condition     = var.retention == null ? true : try(var.retention.keep_within, null) != null || anytrue([for rule in ["keep_last", "hourly", "daily", "weekly", "monthly", "yearly"] : coalesce(var.retention[rule], 0) > 0])
    error_message = "retention has no rule, so it would keep nothing: set keep_last, keep_within, hourly, daily, weekly, monthly or yearly."
  }

  validation {
    condition     = var.retention == null ? true : alltrue([for rule in ["keep_last", "hourly", "daily", "weekly", "monthly", "yearly"] : coalesce(var.retention[rule], 0) >= 0 && floor(coalesce(var.retention[rule], 0)) == coalesce(var.retention[rule], 0)])
    error_message = "keep_last, hourly, daily, weekly, monthly and yearly of retention are whole numbers, at least 0."
  }

  validation {
    condition     = var.retention == null ? true : alltrue([for length in [var.retention.keep_within, var.retention.grace] : length == null || can(regex("^([0-9]+(\\.[0-9]+)?\\s*(w|d|h|m|s|weeks?|days?|hours?|minutes?|seconds?),?\\s*)+$", length))])
    error_message = "keep_within and grace of retention are durations like `14d` or `36h`."
  }
}

variable "prune_enabled" {
  description = "Whether a task of its own, with a role of its own, condemns the snapshots that retention does not keep. Needs retention, here or in config."
  type        = bool
  default     = false
  nullable    = false

  validation {
    condition     = !var.prune_enabled || local.has_retention
    error_message = "prune_enabled without a retention would fail each time: set retention, or `retention` in config below backup.defaults or a source."
  }
}

variable "prune_schedule_expression" {
  description = "When prune runs: `rate(1 day)`, or `cron(15 10 * * ? *)`. Outside the hours of passes, and when somebody reads what it says."
  type        = string
  default     = "cron(15 10 * * ? *)"
  nullable    = false

  validation {
    condition     = can(regex("^(rate\\((1 (minute|hour|day)|([2-9]|[1-9][0-9]+) (minutes|hours|days))\\)|cron\\(\\S+ \\S+ \\S+ \\S+ \\S+ \\S+\\))$", var.prune_schedule_expression))
    error_message = "prune_schedule_expression is rate(<number> <unit>), with the unit in the singular for 1, or cron(<minute> <hour> <day of month> <month> <day of week> <year>): write rate(1 day) or cron(15 10 * * ? *)."
  }
}

variable "allow_delete" {
  description = "Whether the prune task may delete objects, which the backup's own never may. Reserved: condemning needs no such right, and freeing space comes with a later version of the program."
  type        = bool
  default     = false
  nullable    = false

  validation {
    condition     = !var.allow_delete || var.prune_enabled
    error_message = "allow_delete is a right of the prune task, and there is none: set prune_enabled, or leave allow_delete out."
  }
}

variable "replication" {
  description = "Replication to a bucket in a second region, as modules/replica makes it: its ARN; the KMS key there, if any; the storage class of contents and archives there (null: the same as here); whether deletions are passed on."
  type = object({
    bucket_arn     = string
    kms_key_arn    = optional(string)
    storage_class  = optional(string)
    delete_markers = optional(bool, true)
  })
  default = null

  validation {
    condition     = var.replication == null ? true : can(regex("^arn:[a-z-]+:s3:::[a-z0-9.-]+$", var.replication.bucket_arn))
    error_message = "replication.bucket_arn is the ARN of a bucket: take it from modules/replica."
  }

  validation {
    condition     = try(var.replication.storage_class, null) == null ? true : contains(["STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"], var.replication.storage_class)
    error_message = "replication.storage_class is one of STANDARD, STANDARD_IA, ONEZONE_IA, INTELLIGENT_TIERING, GLACIER_IR, GLACIER, DEEP_ARCHIVE, or left out."
  }
}

# What the program is told

variable "config" {
  description = "The program's configuration, as `yamldecode(file(\"backup_config.yaml\"))` gives it. Bucket, prefix and log format are set by this module; without sources, every volume is backed up. `copies` in it, further buckets, bring their permissions."
  type        = any
  default     = {}
  nullable    = false

  validation {
    condition     = can(keys(var.config)) && length(setsubtract(try(keys(var.config), []), ["backup"])) == 0
    error_message = "config is the whole document, with `backup` and nothing else at its top: write config = yamldecode(file(\"backup_config.yaml\")) or config = { backup = { ... } }."
  }

  validation {
    condition     = try(var.config.backup.s3.endpoint_url, null) == null
    error_message = "config names an endpoint_url, but the task writes to bucket_name at AWS: leave it out."
  }

  validation {
    condition     = try(var.config.backup.store, null) == null
    error_message = "config names a store, but the task writes to bucket_name: leave backup.store out, and say where in bucket_name and prefix."
  }

  validation {
    condition     = alltrue([for copy in try([for copy in var.config.backup.copies : copy], []) : can(regex("^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9_.=-]+)*/?$", copy.store))])
    error_message = "store of each of backup.copies in config is a bucket and a prefix of letters, digits and `_.=-`, as s3://acme-elsewhere/portal/. Other characters have meanings of their own in policies, and a task has no directory that it could write to."
  }

  validation {
    condition     = alltrue([for source in try([for source in var.config.backup.sources : source], []) : try(source.bucket, null) == null])
    error_message = "config has a source with a bucket, to which the task would have no rights: name it in bucket_sources instead."
  }

  validation {
    condition     = try(var.config.backup.s3.interval_seconds, null) == null
    error_message = "config has interval_seconds, which is for a process that stays: leave it out, and say when in schedule_expression."
  }

  validation {
    condition     = try(var.config.backup.s3.kms_key_id, null) == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.config.backup.s3.kms_key_id))
    error_message = "backup.s3.kms_key_id in config is the ARN of a key (arn:aws:kms:<region>:<account>:key/<id>), not an alias or a bare id: permissions are written for keys."
  }
}

variable "bucket_sources" {
  description = "Buckets to back up, each a source of its name: what lies below prefix is copied by S3 itself (docs/BUCKETS.md). categories, only, tags (keep or ignore), storage_class and exclude are the program's settings; kms_key_arn is the key that the bucket encrypts with. With restore, a role is made that may write objects back there; a pass never may."
  type = list(object({
    name          = string
    bucket        = string
    prefix        = optional(string, "")
    region        = optional(string)
    categories    = optional(map(list(string)))
    only          = optional(list(string))
    tags          = optional(string, "keep")
    storage_class = optional(string)
    exclude       = optional(list(string), [])
    kms_key_arn   = optional(string)
    restore       = optional(bool, false)
  }))
  default  = []
  nullable = false

  validation {
    condition     = alltrue([for source in var.bucket_sources : can(regex("^[A-Za-z0-9._-]{1,64}$", source.name))]) && length(distinct(var.bucket_sources[*].name)) == length(var.bucket_sources)
    error_message = "name of each of bucket_sources is its own, of 1 to 64 letters, digits, `.`, `_` and `-`: snapshots are kept under it."
  }

  validation {
    condition     = alltrue([for source in var.bucket_sources : !contains(try([for other in var.config.backup.sources : try(other.name, null)], []), source.name)])
    error_message = "One of bucket_sources is called as a source in config is: give it another name."
  }

  validation {
    condition     = alltrue([for source in var.bucket_sources : can(regex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", source.bucket))])
    error_message = "bucket of each of bucket_sources is the name of a bucket, without s3:// and prefix: write `our-documents`, and what lies below as prefix."
  }

  validation {
    condition     = alltrue([for source in var.bucket_sources : can(regex("^([A-Za-z0-9_.=-]+/)*$", source.prefix))])
    error_message = "prefix of each of bucket_sources is empty, or of letters, digits and `_.=-` between slashes, with one at its end: write `uploads/`. Other characters have meanings of their own in policies."
  }

  validation {
    # S3 would back up its own backups.
    condition     = alltrue([for source in var.bucket_sources : source.bucket != var.bucket_name || !(startswith(source.prefix, local.prefix) || startswith(local.prefix, source.prefix))])
    error_message = "One of bucket_sources and the backups lie in each other: set another prefix of the source, or another bucket_name or prefix for the backups."
  }

  validation {
    condition     = alltrue([for source in var.bucket_sources : source.region == null || can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", source.region))])
    error_message = "region of each of bucket_sources is one of AWS, as eu-central-1, or left out where it is that of the task."
  }

  validation {
    condition     = alltrue([for source in var.bucket_sources : contains(["keep", "ignore"], source.tags)])
    error_message = "tags of each of bucket_sources is keep, which copies tags of objects, or ignore, which leaves them out and takes no right to read them."
  }

  validation {
    condition     = alltrue([for source in var.bucket_sources : source.storage_class == null ? true : contains(["STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE"], source.storage_class)])
    error_message = "storage_class of each of bucket_sources is STANDARD, STANDARD_IA, ONEZONE_IA, INTELLIGENT_TIERING, GLACIER_IR, GLACIER or DEEP_ARCHIVE, or left out: copies have that of their object then."
  }

  validation {
    condition     = alltrue([for source in var.bucket_sources : source.kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", source.kms_key_arn))])
    error_message = "kms_key_arn of each of bucket_sources is the ARN of a key (arn:aws:kms:<region>:<account>:key/<id>), not an alias."
  }
}

variable "restore_principal_arns" {
  description = "ARNs of those who may take the role that puts objects back into buckets of bucket_sources with restore; empty for everybody in the account whom its own policies let."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.restore_principal_arns : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:(root|(user|role)/.+)$", arn))])
    error_message = "restore_principal_arns are ARNs of roles, users or accounts, as arn:aws:iam::111122223333:role/on-call."
  }

  validation {
    condition     = length(var.restore_principal_arns) == 0 || anytrue(var.bucket_sources[*].restore)
    error_message = "restore_principal_arns is for buckets that may be written back to: set restore = true of one of bucket_sources, or leave it out."
  }
}

variable "copies_kms_key_arns" {
  description = "ARNs of the KMS keys that the buckets of `copies` in config encrypt with, so that the task may use them."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.copies_kms_key_arns : can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", arn))])
    error_message = "copies_kms_key_arns are ARNs of keys (arn:aws:kms:<region>:<account>:key/<id>), not of aliases."
  }

  validation {
    condition     = length(var.copies_kms_key_arns) == 0 || length(local.copies) > 0
    error_message = "copies_kms_key_arns is for buckets that backup.copies in config names, and it names none that the task writes to with its role: leave it out."
  }
}

variable "environment" {
  description = "Further environment variables of the container, as OFFSITE_LIMITS__BANDWIDTH or LOG_LEVEL. With LOG_LEVEL=error there is no lock_held event, and its alarm does not ring."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = length(setintersection(keys(var.environment), ["BACKUP_CONFIG_YAML", "BACKUP_CONFIG_PATH", "BACKUP_DIR", "ENABLE_S3_UPLOAD", "OFFSITE_STORE", "OFFSITE_STORE_OWNER", "OFFSITE_S3__BUCKET", "OFFSITE_S3__PREFIX", "OFFSITE_S3__ENDPOINT_URL", "OFFSITE_LOG__FORMAT", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])) == 0
    error_message = "BACKUP_CONFIG_YAML, BACKUP_CONFIG_PATH, BACKUP_DIR, ENABLE_S3_UPLOAD, OFFSITE_STORE, OFFSITE_STORE_OWNER, OFFSITE_S3__BUCKET, OFFSITE_S3__PREFIX, OFFSITE_LOG__FORMAT and endpoints are set by this module or by config, and permissions and alarms rest on them: use config, bucket_name, prefix and store_owner."
  }

  validation {
    # Empty is not set.
    condition     = lookup(var.environment, "OFFSITE_S3__KMS_KEY_ID", "") == "" || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.environment["OFFSITE_S3__KMS_KEY_ID"]))
    error_message = "OFFSITE_S3__KMS_KEY_ID in environment is the ARN of a key (arn:aws:kms:<region>:<account>:key/<id>), not an alias or a bare id: permissions are written for keys."
  }
}

variable "secrets" {
  description = "Environment variables from Secrets Manager or Parameter Store: name to ARN of the secret (with `:key::` for one key of a JSON secret) or parameter. For passwords of databases, or API_KEYS."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for arn in values(var.secrets) : can(regex("^arn:[a-z-]+:(secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[^:]+(:[^:]*:[^:]*:[^:]*)?|ssm:[a-z0-9-]+:[0-9]{12}:parameter/.+)$", arn))])
    error_message = "Each of secrets is the ARN of a secret of Secrets Manager, or of a parameter of Systems Manager. A value does not belong here: it would stand in the state."
  }

  validation {
    condition     = length(setintersection(keys(var.secrets), keys(var.environment))) == 0
    error_message = "A name is in both environment and secrets: leave it in one."
  }
}

variable "secrets_kms_key_arns" {
  description = "ARNs of the customer-managed KMS keys that the secrets are encrypted with."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.secrets_kms_key_arns : can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", arn))])
    error_message = "secrets_kms_key_arns are ARNs of keys (arn:aws:kms:<region>:<account>:key/<id>), not of aliases."
  }
}

# Where it runs

variable "image" {
  description = "The container image, best by digest. From ECR, the task may pull this repository and no other."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][^\\s]*[:@][^\\s/]+$", var.image))
    error_message = "image names a tag or a digest: write <account>.dkr.ecr.<region>.amazonaws.com/offsite:0.1.0 or …/offsite@sha256:…."
  }
}

variable "command" {
  description = "What the program is told to do; its entry point is the program itself."
  type        = list(string)
  default     = ["run"]
  nullable    = false

  validation {
    condition     = length(var.command) > 0
    error_message = "command names at least a subcommand: leave it out for [\"run\"]."
  }
}

variable "volumes" {
  description = "EFS directories to back up, mounted read-only at container_path. Without an access point, one is made for path. root_access lets the task read every file whoever owns it; false reads as uid 65532."
  type = list(object({
    name            = string
    container_path  = string
    file_system_id  = string
    access_point_id = optional(string)
    path            = optional(string, "/")
    root_access     = optional(bool, true)
  }))
  default  = []
  nullable = false

  validation {
    condition     = alltrue([for volume in var.volumes : can(regex("^[a-zA-Z0-9_-]{1,64}$", volume.name))]) && length(distinct(var.volumes[*].name)) == length(var.volumes)
    error_message = "Each volume has a name of its own, of letters, digits, `_` and `-`."
  }

  validation {
    condition     = alltrue([for volume in var.volumes : can(regex("^/[^:]+$", volume.container_path))]) && length(distinct(var.volumes[*].container_path)) == length(var.volumes)
    error_message = "container_path of each volume is an absolute path of its own below `/`, as `/data`."
  }

  validation {
    condition     = alltrue([for volume in var.volumes : can(regex("^fs-[0-9a-f]+$", volume.file_system_id))])
    error_message = "file_system_id of each volume is the id of an EFS file system, as fs-0123456789abcdef0."
  }

  validation {
    condition     = alltrue([for volume in var.volumes : volume.access_point_id == null || can(regex("^fsap-[0-9a-f]+$", volume.access_point_id))])
    error_message = "access_point_id of a volume is the id of an EFS access point, as fsap-0123456789abcdef0, or left out."
  }

  validation {
    condition     = alltrue([for volume in var.volumes : startswith(volume.path, "/") && (volume.access_point_id == null || volume.path == "/")])
    error_message = "path of a volume is absolute, and only for access points that are made here: an access point that exists has a path already."
  }
}

variable "cluster_arn" {
  description = "ARN of the ECS cluster to run in; null makes one."
  type        = string
  default     = null

  validation {
    condition     = var.cluster_arn == null || can(regex("^arn:[a-z-]+:ecs:[a-z0-9-]+:[0-9]{12}:cluster/.+$", var.cluster_arn))
    error_message = "cluster_arn is the ARN of a cluster, arn:aws:ecs:<region>:<account>:cluster/<name>, or null."
  }
}

variable "subnet_ids" {
  description = "Subnets to run in. They need a way to S3, ECR and CloudWatch Logs (a gateway endpoint for S3 is free), and mount targets of the file systems."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) > 0 && alltrue([for id in var.subnet_ids : can(regex("^subnet-[0-9a-f]+$", id))])
    error_message = "subnet_ids names at least one subnet, as subnet-0123456789abcdef0; better two, in different zones."
  }
}

variable "security_group_ids" {
  description = "Security groups of the task. It needs outgoing 443, and 2049 to the file systems' mount targets; nothing incoming."
  type        = list(string)

  validation {
    condition     = length(var.security_group_ids) > 0 && alltrue([for id in var.security_group_ids : can(regex("^sg-[0-9a-f]+$", id))])
    error_message = "security_group_ids names at least one group, as sg-0123456789abcdef0: without one, the network's default group would be used."
  }
}

variable "assign_public_ip" {
  description = "Whether the task gets a public address: true in public subnets, which have no NAT."
  type        = bool
  default     = false
  nullable    = false
}

variable "cpu_architecture" {
  description = "Processor of the task; the image has to have it: `make image` builds for the one of the machine it runs on. ARM64 costs a fifth less."
  type        = string
  default     = "ARM64"
  nullable    = false

  validation {
    condition     = contains(["ARM64", "X86_64"], var.cpu_architecture)
    error_message = "cpu_architecture is ARM64 or X86_64."
  }
}

variable "cpu" {
  description = "CPU units of the task, 1024 a virtual CPU. Hashing and TLS take it; what arrives over the network grows with it."
  type        = number
  default     = 512
  nullable    = false

  validation {
    condition     = contains([256, 512, 1024, 2048, 4096, 8192, 16384], var.cpu)
    error_message = "cpu is one of Fargate's sizes: 256, 512, 1024, 2048, 4096, 8192, 16384."
  }
}

variable "memory" {
  description = "Memory of the task in MiB. The program needs little, however many files there are; Fargate sets the least for each cpu."
  type        = number
  default     = 1024
  nullable    = false

  validation {
    condition = contains(lookup({
      "256"   = [512, 1024, 2048]
      "512"   = range(1024, 4097, 1024)
      "1024"  = range(2048, 8193, 1024)
      "2048"  = range(4096, 16385, 1024)
      "4096"  = range(8192, 30721, 1024)
      "8192"  = range(16384, 61441, 4096)
      "16384" = range(32768, 122881, 8192)
    }, tostring(var.cpu), []), var.memory)
    error_message = "memory does not go with cpu on Fargate: 256 takes 512, 1024, 2048; 512 takes 1024 to 4096; 1024 takes 2048 to 8192; 2048 takes 4096 to 16384; 4096 takes 8192 to 30720, in steps of 1024; 8192 takes 16384 to 61440 in steps of 4096; 16384 takes 32768 to 122880 in steps of 8192."
  }
}

variable "platform_version" {
  description = "Platform version of Fargate. EFS needs 1.4.0 or later."
  type        = string
  default     = "LATEST"
  nullable    = false

  validation {
    condition     = var.platform_version == "LATEST" || can(regex("^1\\.([4-9]|[1-9][0-9])\\.[0-9]+$", var.platform_version))
    error_message = "platform_version is LATEST, or 1.4.0 or later."
  }
}

variable "permissions_boundary_arn" {
  description = "ARN of a policy that bounds what the roles made here may do, where the organisation asks for one."
  type        = string
  default     = null

  validation {
    condition     = var.permissions_boundary_arn == null || can(regex("^arn:[a-z-]+:iam::([0-9]{12}|aws):policy/.+$", var.permissions_boundary_arn))
    error_message = "permissions_boundary_arn is the ARN of a managed policy, or null."
  }
}

# When it runs

variable "schedule_expression" {
  description = "When a pass starts: `rate(1 hour)`, or `cron(15 2 * * ? *)`."
  type        = string
  default     = "cron(15 2 * * ? *)"
  nullable    = false

  validation {
    condition     = can(regex("^(rate\\((1 (minute|hour|day)|([2-9]|[1-9][0-9]+) (minutes|hours|days))\\)|cron\\(\\S+ \\S+ \\S+ \\S+ \\S+ \\S+\\))$", var.schedule_expression))
    error_message = "schedule_expression is rate(<number> <unit>), with the unit in the singular for 1, or cron(<minute> <hour> <day of month> <month> <day of week> <year>): write rate(1 hour), rate(15 minutes) or cron(15 2 * * ? *)."
  }
}

variable "schedule_timezone" {
  description = "Time zone of cron expressions, as Europe/Berlin."
  type        = string
  default     = "UTC"
  nullable    = false

  validation {
    condition     = can(regex("^(UTC|[A-Z][A-Za-z_]+(/[A-Za-z0-9_+-]+)+)$", var.schedule_timezone))
    error_message = "schedule_timezone is a name of the IANA database, as UTC, Europe/Berlin or America/New_York."
  }

  validation {
    condition     = !var.use_event_rule || var.schedule_timezone == "UTC"
    error_message = "An EventBridge rule knows UTC alone: leave schedule_timezone out, or use_event_rule."
  }
}

variable "schedule_flexible_minutes" {
  description = "Minutes by which EventBridge Scheduler may start a pass later, to spread load; 0 for on time."
  type        = number
  default     = 0
  nullable    = false

  validation {
    condition     = var.schedule_flexible_minutes >= 0 && var.schedule_flexible_minutes <= 1440
    error_message = "schedule_flexible_minutes is 0 to 1440."
  }

  validation {
    condition     = !var.use_event_rule || var.schedule_flexible_minutes == 0
    error_message = "An EventBridge rule starts on time: leave schedule_flexible_minutes out, or use_event_rule."
  }
}

variable "schedule_enabled" {
  description = "Whether the schedule is in force. While it is not, the alarm for missing backups stays as it is."
  type        = bool
  default     = true
  nullable    = false
}

variable "schedule_retries" {
  description = "How often starting the task is tried again when ECS refuses, as for want of capacity. A pass that fails is not repeated by it, but by the program itself, for ten minutes (retry in config)."
  type        = number
  default     = 10
  nullable    = false

  validation {
    condition     = var.schedule_retries >= 0 && var.schedule_retries <= 185
    error_message = "schedule_retries is 0 to 185."
  }
}

variable "schedule_retry_seconds" {
  description = "Seconds after which starting the task is given up, and the attempt goes to the dead-letter queue."
  type        = number
  default     = 3600
  nullable    = false

  validation {
    condition     = var.schedule_retry_seconds >= 60 && var.schedule_retry_seconds <= 86400
    error_message = "schedule_retry_seconds is 60 to 86400."
  }
}

variable "use_event_rule" {
  description = "Whether an EventBridge rule starts the task instead of EventBridge Scheduler, where only rules are allowed."
  type        = bool
  default     = false
  nullable    = false
}

variable "verify" {
  description = "A second schedule that runs `offsite verify`, and reads back a share of what is there; null for none. The share rotates with time, so that in the end everything is read."
  type = object({
    schedule_expression = string
    read                = optional(string, "5%")
  })
  default = null

  validation {
    condition     = var.verify == null ? true : can(regex("^(rate|cron)\\(.+\\)$", var.verify.schedule_expression))
    error_message = "verify.schedule_expression is rate(...) or cron(...), as cron(0 6 ? * SUN *)."
  }

  validation {
    condition     = var.verify == null ? true : can(regex("^(100|[1-9]?[0-9])(\\.[0-9]+)?%$", var.verify.read))
    error_message = "verify.read is a share in per cent, as 5%; 0% compares without reading back."
  }
}

# What is said of it

variable "log_retention_days" {
  description = "Days for which CloudWatch Logs keeps the events; 0 for ever."
  type        = number
  default     = 90
  nullable    = false

  validation {
    condition     = contains([0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days is one of the periods CloudWatch Logs has: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653, or 0 for ever."
  }
}

variable "log_kms_key_arn" {
  description = "ARN of a KMS key for the log group, whose policy lets CloudWatch Logs use it; null for the service's own key. Events name paths of files."
  type        = string
  default     = null

  validation {
    condition     = var.log_kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.log_kms_key_arn))
    error_message = "log_kms_key_arn is the ARN of a key (arn:aws:kms:<region>:<account>:key/<id>), not an alias."
  }
}

variable "alarm_emails" {
  description = "Addresses that alarms are mailed to. Each has to confirm a mail from AWS first."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for address in var.alarm_emails : can(regex("^[^@\\s]+@[^@\\s]+$", address))])
    error_message = "alarm_emails are addresses of mail, as ops@example.com."
  }
}

variable "alarm_topic_arns" {
  description = "SNS topics that alarms go to besides the one made here, as those of a pager. Their policies have to let both cloudwatch.amazonaws.com and events.amazonaws.com publish, the latter without a Condition: EventBridge supports none there, and its messages would not arrive."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.alarm_topic_arns : can(regex("^arn:[a-z-]+:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+$", arn))])
    error_message = "alarm_topic_arns are ARNs of SNS topics (not FIFO ones, which alarms do not reach by mail)."
  }
}

variable "alarm_kms_key_arn" {
  description = "ARN of a KMS key for the topic, whose policy lets cloudwatch.amazonaws.com and events.amazonaws.com use kms:Decrypt and kms:GenerateDataKey*; null leaves messages unencrypted at rest. The key AWS manages for SNS does not work with alarms."
  type        = string
  default     = null

  validation {
    condition     = var.alarm_kms_key_arn == null || can(regex("^arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:key/.+$", var.alarm_kms_key_arn))
    error_message = "alarm_kms_key_arn is the ARN of a key (arn:aws:kms:<region>:<account>:key/<id>), not an alias."
  }
}

variable "missing_backup_hours" {
  description = "Hours without backup_completed after which the alarm goes off; null for no such alarm. More than the time between two passes, and how long one takes."
  type        = number
  default     = 26

  validation {
    # An alarm looks back over 604,800 seconds at most, in periods of an hour.
    condition     = var.missing_backup_hours == null ? true : var.missing_backup_hours >= 1 && var.missing_backup_hours <= 168 && floor(var.missing_backup_hours) == var.missing_backup_hours
    error_message = "missing_backup_hours is a whole number from 1 to 168: CloudWatch looks back over seven days at most. For passes less often than that, set null and have `offsite status` looked at by something else."
  }

  validation {
    condition     = var.missing_backup_hours == null ? true : var.missing_backup_hours > local.hours_between_passes
    error_message = "missing_backup_hours is not more than the time between two passes, so that every pass would come too late: add how long a pass takes, and an hour."
  }
}

variable "lock_held_alarm" {
  description = "How many passes that found the lock held, within so many hours, raise the alarm. One now and then is a pass that took longer."
  type = object({
    count = optional(number, 3)
    hours = optional(number, 24)
  })
  default  = {}
  nullable = false

  validation {
    # For an alarm with one period, a day is the longest.
    condition     = var.lock_held_alarm.count >= 1 && var.lock_held_alarm.hours >= 1 && var.lock_held_alarm.hours <= 24 && floor(var.lock_held_alarm.hours) == var.lock_held_alarm.hours
    error_message = "lock_held_alarm.count is at least 1, and hours a whole number from 1 to 24."
  }
}

variable "quiet_exit_codes" {
  description = "Exit codes besides 0 that send no message when the task stops: by default 3 (incomplete) and 11 (lock held), which have alarms of their own."
  type        = set(number)
  default     = [3, 11]
  nullable    = false

  validation {
    condition     = alltrue([for code in var.quiet_exit_codes : code >= 1 && code <= 255 && floor(code) == code])
    error_message = "quiet_exit_codes are whole numbers from 1 to 255."
  }
}

variable "create_dashboard" {
  description = "Whether to make a CloudWatch dashboard."
  type        = bool
  default     = true
  nullable    = false
}
