{{/* `config.backup`, or an empty mapping: what is wrong in it, offsite says. */}}
{{- define "offsite.backup" -}}
{{- $config := fromYaml (include "offsite.config" .) -}}
{{- toYaml (ternary $config.backup dict (kindIs "map" $config.backup)) -}}
{{- end -}}

{{/* Names of the variables that the values set one by one, as JSON. */}}
{{- define "offsite.variables" -}}
{{- $names := list -}}
{{- range .Values.env }}{{ $names = append $names .name }}{{ end -}}
{{- if .Values.credentials.existingSecret }}{{ $names = concat $names (keys .Values.credentials.keys) }}{{ end -}}
{{- toJson $names -}}
{{- end -}}

{{/*
Whose store it is, and where in the bucket, as variables, where nothing else says so. They go into a ConfigMap that comes
first in `envFrom`: the rest of the environment wins over it. Files do not, so what `config` says is left out here. A
bucket that is only known when the pod starts may come with a prefix, and gets none.
*/}}
{{- define "offsite.defaults" -}}
{{- $backup := include "offsite.backup" . | fromYaml -}}
{{- $s3 := ternary $backup.s3 dict (kindIs "map" $backup.s3) -}}
{{- $names := include "offsite.variables" . | fromJsonArray -}}
{{- $own := printf "%s/%s" .Release.Namespace .Release.Name -}}
{{- $defaults := dict -}}
{{- $owner := .Values.storeOwner -}}
{{- if kindIs "invalid" $owner }}{{ $owner = ternary $own "" (kindIs "invalid" $backup.store_owner) }}{{ end -}}
{{- with $owner }}{{ $_ := set $defaults "OFFSITE_STORE_OWNER" . }}{{ end -}}
{{- $bucket := or $s3.bucket (has "OFFSITE_S3__BUCKET" $names) -}}
{{- $whole := or $backup.store (has "OFFSITE_STORE" $names) (has "BACKUP_DIR" $names) -}}
{{- $prefix := or (not (kindIs "invalid" $s3.prefix)) (has "OFFSITE_S3__PREFIX" $names) -}}
{{- if and $bucket (not $whole) (not $prefix) }}{{ $_ := set $defaults "OFFSITE_S3__PREFIX" (printf "%s/" $own) }}{{ end -}}
{{- toYaml $defaults -}}
{{- end -}}

{{/* Where backups go, for people; nothing where the environment has a say. */}}
{{- define "offsite.place" -}}
{{- $backup := include "offsite.backup" . | fromYaml -}}
{{- $s3 := ternary $backup.s3 dict (kindIs "map" $backup.s3) -}}
{{- $names := include "offsite.variables" . | fromJsonArray -}}
{{- $said := false -}}
{{- range list "OFFSITE_STORE" "OFFSITE_S3__BUCKET" "OFFSITE_S3__PREFIX" "BACKUP_DIR" -}}
{{- if has . $names }}{{ $said = true }}{{ end -}}
{{- end -}}
{{- if not $said -}}
{{- $defaults := include "offsite.defaults" . | fromYaml -}}
{{- $prefix := toString (default "" (coalesce $s3.prefix (get $defaults "OFFSITE_S3__PREFIX"))) -}}
{{- if $backup.store }}{{ $backup.store }}{{ else if $s3.bucket }}s3://{{ $s3.bucket }}/{{ $prefix }}{{ end -}}
{{- end -}}
{{- end -}}

{{/* Whether the store is a directory, as far as `config` says. */}}
{{- define "offsite.storeIsDirectory" -}}
{{- $store := (include "offsite.backup" . | fromYaml).store -}}
{{- if and (kindIs "string" $store) (hasPrefix "/" $store) }}true{{ end -}}
{{- end -}}

{{/*
Refuses what would only be found when the first pass fails at night: no store, two owners, and stores in directories
that no pod can write to.
*/}}
{{- define "offsite.checkStore" -}}
{{- $backup := include "offsite.backup" . | fromYaml -}}
{{- $s3 := ternary $backup.s3 dict (kindIs "map" $backup.s3) -}}
{{- $names := include "offsite.variables" . | fromJsonArray -}}
{{- $named := or $backup.store $s3.bucket .Values.envFrom -}}
{{- range list "OFFSITE_STORE" "OFFSITE_S3__BUCKET" "BACKUP_DIR" -}}
{{- if has . $names }}{{ $named = true }}{{ end -}}
{{- end -}}
{{- if not $named -}}
{{- fail "config: neither backup.store nor backup.s3.bucket says where backups go" -}}
{{- end -}}
{{- $owner := $backup.store_owner -}}
{{- if and .Values.storeOwner (not (kindIs "invalid" $owner)) (ne .Values.storeOwner (toString $owner)) -}}
{{- fail (printf "storeOwner is %s, and backup.store_owner in config is %s: leave one of them out" .Values.storeOwner (toString $owner)) -}}
{{- end -}}
{{- $stores := list $backup.store -}}
{{- if kindIs "slice" $backup.copies -}}
{{- range $backup.copies }}{{ if kindIs "map" . }}{{ $stores = append $stores .store }}{{ end }}{{ end -}}
{{- end -}}
{{- $mounts := list -}}
{{- range .Values.extraVolumeMounts }}{{ if not .readOnly }}{{ $mounts = append $mounts .mountPath }}{{ end }}{{ end -}}
{{- range $store := $stores -}}
{{- if and (kindIs "string" $store) (hasPrefix "/" (toString $store)) -}}
{{- $arguments := dict "directory" $store "mounts" $mounts -}}
{{- if not (include "offsite.isMounted" $arguments) -}}
{{- fail (printf "config: no pod can write to %s: give the volume of this store in `extraVolumes` and `extraVolumeMounts`, which verification and restore have as well" $store) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Whether something is mounted at a directory or above it. Takes directory and mounts, a list of paths. */}}
{{- define "offsite.isMounted" -}}
{{- $directory := .directory -}}
{{- range .mounts -}}
{{- if hasPrefix (printf "%s/" (clean .) | replace "//" "/") (printf "%s/" (clean $directory) | replace "//" "/") }}true{{ end -}}
{{- end -}}
{{- end -}}

{{/* Refuses a prune that would fail each time, because nothing says what is kept. */}}
{{- define "offsite.checkRetention" -}}
{{- if .Values.prune.enabled -}}
{{- $backup := include "offsite.backup" . | fromYaml -}}
{{- $defaults := ternary $backup.defaults dict (kindIs "map" $backup.defaults) -}}
{{- $said := or $defaults.retention .Values.envFrom -}}
{{- if kindIs "slice" $backup.sources -}}
{{- range $backup.sources }}{{ if and (kindIs "map" .) .retention }}{{ $said = true }}{{ end }}{{ end -}}
{{- end -}}
{{- range include "offsite.variables" . | fromJsonArray }}{{ if contains "RETENTION" (upper .) }}{{ $said = true }}{{ end }}{{ end -}}
{{- if not $said -}}
{{- fail "prune.enabled: nothing in config says what is kept: set backup.defaults.retention, for example {keep_within: 14d, daily: 30, monthly: 12}" -}}
{{- end -}}
{{- end -}}
{{- end -}}
