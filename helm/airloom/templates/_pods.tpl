{{/* What all pods have in common: Pod Security `restricted`, and where they run. */}}

{{/* Of a pod's spec. Takes (dict "root" $ "part" "…" "account" "…" "token" false "uid" 65532 "alone" false). */}}
{{- define "airloom.podSpec" -}}
{{- if not .alone }}
# Kubernetes' own process is the first of the pod then: the first process of a container of its own ignores SIGTERM as long
# as it has not said what to do at it, and a scheduler that is told to end while it starts would run on.
shareProcessNamespace: true
{{- end }}
serviceAccountName: {{ .account }}
automountServiceAccountToken: {{ .token | default false }}
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .uid | default 65532 }}
  runAsGroup: {{ .uid | default 65532 }}
  fsGroup: {{ .uid | default 65532 }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .root.Values.images.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - {name: {{ . }}}
{{- end }}
{{- end }}
{{- with .root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .root.Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- $part := . }}
{{- with .root.Values.topologySpread }}
topologySpreadConstraints:
{{- range . }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "airloom.selector" $part | nindent 8 }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Of each container. */}}
{{- define "airloom.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end -}}

{{/* Labels and annotations of pods. Takes (dict "root" $ "part" "…" "annotations" {…} "config" true "secrets" "…"). */}}
{{- define "airloom.podMetadata" -}}
labels:
  {{- include "airloom.labels" . | nindent 2 }}
  {{- with .root.Values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  {{- if .config }}
  checksum/config: {{ include (print .root.Template.BasePath "/airflow/config.yaml") .root | sha256sum }}
  checksum/files: {{ include (print .root.Template.BasePath "/files.yaml") .root | sha256sum }}
  {{- end }}
  checksum/secrets: {{ .secrets | default (include "airloom.secretsChecksum" .root) }}
  {{- with .annotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* Vendors' usage reports, switched off. */}}
{{- define "airloom.quiet" -}}
- {name: DO_NOT_TRACK, value: "1"}
- {name: MLFLOW_DISABLE_TELEMETRY, value: "true"}
- {name: SCARF_ANALYTICS, value: "false"}
{{- end -}}
