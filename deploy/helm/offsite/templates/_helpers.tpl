{{/* The name of a CronJob has at most 52 characters, since its Jobs add 11; `-prune`, `-verify` and `-restore` take 8. */}}
{{- define "offsite.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- default $full .Values.fullnameOverride | trunc 44 | trimSuffix "-" | trimSuffix "." -}}
{{- end -}}

{{- define "offsite.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "offsite.labels" -}}
{{ include "offsite.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{- define "offsite.serviceAccountName" -}}
{{- $own := ternary (include "offsite.fullname" .) "default" .Values.serviceAccount.create -}}
{{- default $own .Values.serviceAccount.name -}}
{{- end -}}

{{/* Prune has a role of its own where it has an account of its own. */}}
{{- define "offsite.pruneServiceAccountName" -}}
{{- $own := ternary (printf "%s-prune" (include "offsite.fullname" .)) (include "offsite.serviceAccountName" .) .Values.prune.serviceAccount.create -}}
{{- default $own .Values.prune.serviceAccount.name -}}
{{- end -}}

{{- define "offsite.image" -}}
{{- $image := printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- if .Values.image.digest -}}
{{- $image = printf "%s@%s" $image .Values.image.digest -}}
{{- end -}}
{{- $image -}}
{{- end -}}

{{/* The text of the configuration file. */}}
{{- define "offsite.config" -}}
{{- if kindIs "string" .Values.config -}}
{{- .Values.config -}}
{{- else -}}
{{- toYaml .Values.config -}}
{{- end -}}
{{- end -}}

{{/*
Refuses what would only be found when the first pass fails at night: a store that is not named or cannot be written to,
and directories that no volume is mounted at. offsite itself checks the rest of the configuration.
*/}}
{{- define "offsite.check" -}}
{{- $config := fromYaml (include "offsite.config" .) -}}
{{- if hasKey $config "Error" -}}
{{- fail (printf "config: %s" $config.Error) -}}
{{- end -}}
{{- include "offsite.checkStore" . -}}
{{- include "offsite.checkRetention" . -}}
{{- $backup := include "offsite.backup" . | fromYaml -}}
{{- $s3 := default dict $backup.s3 -}}
{{- $variables := include "offsite.variables" . | fromJsonArray -}}
{{- $directories := list -}}
{{- if and (kindIs "slice" $s3.include_dirs) (not (has "OFFSITE_S3__INCLUDE_DIRS" $variables)) -}}
{{- $directories = concat $directories $s3.include_dirs -}}
{{- end -}}
{{- if kindIs "slice" $backup.sources -}}
{{- range $backup.sources -}}
{{- if and (kindIs "map" .) .directory }}{{ $directories = append $directories .directory }}{{ end -}}
{{- if and (kindIs "map" .) (kindIs "string" .sessions) }}{{ $directories = append $directories .sessions }}{{ end -}}
{{- end -}}
{{- end -}}
{{- $names := list -}}
{{- $paths := list -}}
{{- range .Values.volumes -}}
{{- if has .name $names }}{{ fail (printf "volumes: two are called %s" .name) }}{{ end -}}
{{- if has (clean .mountPath) $paths }}{{ fail (printf "volumes: two are mounted at %s" .mountPath) }}{{ end -}}
{{- $names = append $names .name -}}
{{- $paths = append $paths (clean .mountPath) -}}
{{- end -}}
{{- $mounts := list -}}
{{- range concat .Values.volumes .Values.extraVolumeMounts }}{{ $mounts = append $mounts .mountPath }}{{ end -}}
{{- range $directory := $directories -}}
{{- if not (include "offsite.isMounted" (dict "directory" $directory "mounts" $mounts)) -}}
{{- fail (printf "config: nothing is mounted at %s: give the volume that holds it in `volumes`" $directory) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What all Jobs have. Takes root, component, and the keys of a Job's values: backoffLimit, activeDeadlineSeconds. */}}
{{- define "offsite.jobSpec" -}}
backoffLimit: {{ .job.backoffLimit }}
{{- with .job.activeDeadlineSeconds }}
activeDeadlineSeconds: {{ int64 . }}
{{- end }}
{{- with .ttlSecondsAfterFinished }}
ttlSecondsAfterFinished: {{ int64 . }}
{{- end }}
podFailurePolicy:
  rules:
    {{- /*
    The node was drained or needed for something else: that is no failure, and the next pod continues.
    */}}
    - action: Ignore
      onPodConditions:
        - type: DisruptionTarget
          {{- /* The default, but not for all versions, nor in all ways to change a CronJob (kubernetes#131512). */}}
          status: "True"
    {{- /*
    Another try would end the same way:
      2   usage or configuration is wrong; somebody has to change it
      3   done, but some entries could not be read or restored, or a required copy failed: what could be is safe, and
          what could not, mostly for want of permission, cannot a few seconds later; the next pass tries again
      4   the backup is damaged; reading it again does not mend it
      10  no such snapshot, source or store
      11  another pass holds the lock, still after waiting for it: that one does the work. Not Ignore, which
          replaces the pod and does not count it, so that pods are started for as long as the lock is held
      12  credentials or permissions refused
    Of a backup, only 3 fails the Job at once. The alerts have to tell a backup that is incomplete from one that
    is missing, and kube-state-metrics knows no exit codes. But it knows whether a Job failed because there was no
    try left, and so one that failed for another reason ended with 3.
    */}}
    {{- $atOnce := ternary (list 3) (list 2 3 4 10 11 12) (eq .component "backup") }}
    - action: FailJob
      onExitCodes:
        containerName: offsite
        operator: In
        values: [{{ join ", " $atOnce }}]
    {{- /*
    Another try continues where this one stopped: the network or the store failed, or somebody stopped it. What
    is not listed (137, killed by the kernel) counts as well, since that is what Kubernetes does by default.
    */}}
    - action: Count
      onExitCodes:
        containerName: offsite
        operator: In
        values: [{{ join ", " (ternary (list 1 2 4 10 11 12 130 143) (list 1 130 143) (eq .component "backup")) }}]
template:
  metadata:
    labels:
      {{- include "offsite.selectorLabels" .root | nindent 6 }}
      app.kubernetes.io/component: {{ .component }}
      {{- with .root.Values.podLabels }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    annotations:
      checksum/config: {{ printf "%s\n%s" (include "offsite.config" .root) (include "offsite.defaults" .root) | sha256sum }}
      {{- with .root.Values.podAnnotations }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
  spec:
    {{- include "offsite.podSpec" . | nindent 4 }}
{{- end -}}

{{/*
The pod. Takes root, component, args, volumes (claims to mount), capabilities (those it has as root; without any it is
user 65532), and fsGroup, serviceAccountName and resources or nothing.
*/}}
{{- define "offsite.podSpec" -}}
{{- $values := .root.Values -}}
{{- $root := not (empty .capabilities) -}}
{{- $id := ternary 0 65532 $root -}}
{{- $pod := dict "runAsNonRoot" (not $root) "runAsUser" $id "runAsGroup" $id "seccompProfile" (dict "type" "RuntimeDefault") -}}
{{- $capabilities := dict "drop" (list "ALL") -}}
{{- if $root }}{{ $_ := set $capabilities "add" .capabilities }}{{ end -}}
{{- $container := dict "allowPrivilegeEscalation" false "readOnlyRootFilesystem" true "capabilities" $capabilities -}}
# A pod is one try: podFailurePolicy decides on the next one, and needs it so.
restartPolicy: Never
serviceAccountName: {{ default (include "offsite.serviceAccountName" .root) .serviceAccountName }}
# offsite does not talk to Kubernetes. IRSA and Pod Identity bring tokens of their own.
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: {{ int64 $values.terminationGracePeriodSeconds }}
{{- with $values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- with .fsGroup }}{{ $_ := set $pod "fsGroup" (int64 .) }}{{ end }}
  {{- include "offsite.overlaid" (list $pod $values.podSecurityContext) | nindent 2 }}
containers:
  - name: offsite
    image: {{ include "offsite.image" .root | quote }}
    {{- with $values.image.pullPolicy }}
    imagePullPolicy: {{ . }}
    {{- end }}
    args:
      {{- toYaml .args | nindent 6 }}
    env:
      - name: BACKUP_CONFIG_PATH
        value: /etc/offsite/backup_config.yaml
      # The lock says who holds it.
      - name: POD_NAME
        valueFrom: {fieldRef: {fieldPath: metadata.name}}
      - name: POD_NAMESPACE
        valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
      {{- if $values.credentials.existingSecret }}
      {{- range $name, $key := $values.credentials.keys }}
      - name: {{ $name }}
        valueFrom:
          secretKeyRef:
            name: {{ $values.credentials.existingSecret }}
            key: {{ $key }}
      {{- end }}
      {{- end }}
      {{- with $values.env }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    {{- $defaults := include "offsite.defaults" .root | fromYaml }}
    {{- if or $defaults $values.envFrom }}
    envFrom:
      {{- if $defaults }}
      # The rest of the environment wins over what comes first.
      - configMapRef:
          name: {{ include "offsite.fullname" .root }}-defaults
      {{- end }}
      {{- with $values.envFrom }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    {{- end }}
    securityContext:
      {{- include "offsite.overlaid" (list $container $values.securityContext) | nindent 6 }}
    resources:
      {{- toYaml (default $values.resources .resources) | nindent 6 }}
    volumeMounts:
      - name: offsite-config
        mountPath: /etc/offsite
        readOnly: true
      {{- range .volumes }}
      - name: {{ .name }}
        mountPath: {{ .mountPath }}
        {{- with .subPath }}
        subPath: {{ . | quote }}
        {{- end }}
        readOnly: {{ ternary .readOnly true (hasKey . "readOnly") }}
      {{- end }}
      {{- with $values.extraVolumeMounts }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
volumes:
  - name: offsite-config
    configMap:
      name: {{ include "offsite.fullname" .root }}
  {{- range .volumes }}
  - name: {{ .name }}
    # Only the mount is read-only: said here, some drivers would attach the whole volume so, which fails where a
    # workload writes to it.
    persistentVolumeClaim:
      claimName: {{ .claimName }}
  {{- end }}
  {{- with $values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* The first mapping with the members of the second over it; null takes a member out. */}}
{{- define "offsite.overlaid" -}}
{{- $result := deepCopy (index . 0) -}}
{{- range $key, $value := index . 1 -}}
{{- if kindIs "invalid" $value }}{{ $_ := unset $result $key }}{{ else }}{{ $_ := set $result $key $value }}{{ end -}}
{{- end -}}
{{- toYaml $result -}}
{{- end -}}
