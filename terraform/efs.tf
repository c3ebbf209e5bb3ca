# Access points for the volumes that come without one. An access point holds the task to one directory,
# and gives it the identity to read with.

locals {
  # As whom an access point reads where it must not read everything; also the user in the container.
  unprivileged_id = 65532

  created_access_points = { for volume in var.volumes : volume.name => volume if volume.access_point_id == null }
}

resource "aws_efs_access_point" "this" {
  for_each = local.created_access_points

  file_system_id = each.value.file_system_id

  # Files of all owners are to be read, so the identity is root's. It can read alone: the role has no
  # elasticfilesystem:ClientWrite, and the mount is read-only.
  posix_user {
    uid = each.value.root_access ? 0 : local.unprivileged_id
    gid = each.value.root_access ? 0 : local.unprivileged_id
  }

  # No creation_info: a directory that is not there is a mistake, and the task must not start on an
  # empty one.
  root_directory {
    path = each.value.path
  }

  tags = merge(local.tags, { Name = "${var.name}-${each.key}" })
}

locals {
  volumes = [
    for volume in var.volumes : merge(volume, {
      access_point_id = volume.access_point_id == null ? aws_efs_access_point.this[volume.name].id : volume.access_point_id
    })
  ]
}
