{{/* Airflow's settings and the pods of its parts. */}}

{{/* Airflow's configuration as the chart sets it, before `config` goes over it; YAML. */}}
{{- define "airloom.airflowConfig" -}}
core:
  executor: {{ eq .Values.executor "LocalExecutor" | ternary "airloom_airflow.speedups.executor.LocalExecutor" "KubernetesExecutor" }}
  load_examples: false
  dags_are_paused_at_creation: false
  lazy_load_plugins: false
  dagbag_import_error_tracebacks: false
  execution_api_server_url: {{ include "airloom.airflowUrl" . }}/execution/
  hostname_callable: airflow.utils.net.get_host_ip_address
  auth_manager: {{ .Values.auth.manager }}
  simple_auth_manager_users: {{ .Values.auth.user }}:admin
  simple_auth_manager_passwords_file: /tmp/passwords.json
api:
  host: 0.0.0.0
  port: 8080
  workers: {{ .Values.apiServer.workers }}
  {{- if and .Values.ingress.enabled .Values.ingress.apiServer }}
  base_url: http{{ if .Values.ingress.tlsSecretName }}s{{ end }}://{{ .Values.ingress.apiServer }}
  {{- else if and .Values.gatewayApi.enabled .Values.gatewayApi.apiServer }}
  base_url: https://{{ .Values.gatewayApi.apiServer }}
  {{- end }}
dag_processor:
  dag_bundle_config_list: {{ include "airloom.bundles" . | quote }}
  dag_bundle_storage_path: /tmp/bundles
  bundle_refresh_check_interval: 5
  min_file_process_interval: 86400
  file_parsing_sort_mode: modified_time
  dag_version_inflation_check_level: "off"
  print_stats_interval: 0
scheduler:
  enable_health_check: true
logging:
  base_log_folder: /tmp/logs
  {{- with .Values.logs.uri }}
  remote_logging: true
  remote_base_log_folder: {{ . }}
  {{- end }}
  {{- with .Values.logs.connection }}
  remote_log_conn_id: {{ . }}
  {{- end }}
{{- if eq .Values.executor "KubernetesExecutor" }}
kubernetes_executor:
  namespace: {{ .Release.Namespace }}
  pod_template_file: /etc/airloom/worker.yaml
{{- end }}
{{- end -}}

{{/* Airflow's list of DAG bundles, as JSON. */}}
{{- define "airloom.bundles" -}}
{{- $given := .Values.pipelines -}}
{{- $arguments := dict "refresh_interval" (int $given.refreshSeconds) -}}
{{- $class := "airloom_airflow.bundles.PipelineDagBundle" -}}
{{- if eq $given.source "bucket" -}}
{{- $_ := set $arguments "pipelines" ($given.uri | default (printf "%s/pipelines" (include "airloom.objectsUri" .))) -}}
{{- else if eq $given.source "git" -}}
{{- $class = "airloom_airflow.bundles.git.GitPipelineDagBundle" -}}
{{- $arguments = merge $arguments (dict "tracking_ref" $given.git.ref "git_conn_id" "airloom_pipelines") -}}
{{- with $given.git.subdir -}}{{- $_ := set $arguments "subdir" . -}}{{- end -}}
{{- end -}}
{{- toJson (list (dict "name" "airloom" "classpath" $class "kwargs" $arguments)) -}}
{{- end -}}

{{/* What an installation is, as Airloom's variables; YAML, name → value. */}}
{{- define "airloom.settings" -}}
AIRLOOM_HOME: /tmp/airloom
AIRLOOM_DATA_ROOT: /tmp
AIRLOOM_PIPELINES: {{ eq .Values.pipelines.source "image" | ternary .Values.pipelines.path "/tmp/pipelines" }}
AIRLOOM_ARTIFACTS_URI: {{ include "airloom.objectsUri" . }}/artifacts
AIRLOOM_TRACKING_URI: {{ include "airloom.mlflowUrl" . }}
AIRLOOM_GATEWAY_URL: {{ include "airloom.gatewayUrl" . }}
AIRLOOM_LINEAGE_PATH: ""
AIRLOOM_RUNTIME: kubernetes
AIRLOOM_CLUSTER_FILE: /etc/airloom/cluster.yaml
AIRLOOM_INSTALLATION: {{ printf "%s-%s" .Release.Namespace (include "airloom.fullname" .) | trunc 40 | trimSuffix "-" }}
AIRLOOM_ENVIRONMENT: {{ .Values.environment | quote }}
{{- with include "airloom.objectsEndpoint" . }}
AWS_ENDPOINT_URL: {{ . }}
{{- end }}
DO_NOT_TRACK: "1"
AIRFLOW__USAGE_DATA_COLLECTION__ENABLED: "False"
{{- end -}}

{{/* The cluster file. */}}
{{- define "airloom.clusterFile" -}}
{{- $spec := deepCopy .Values.cluster -}}
{{- $images := dict "cpu" (include "airloom.image" (dict "root" . "given" .Values.images.stageCpu "name" "stage-cpu")) "gpu" (include "airloom.image" (dict "root" . "given" .Values.images.stageGpu "name" "stage-gpu")) -}}
{{- $_ := set $spec "images" (merge ($spec.images | default dict) $images) -}}
{{- $_ := set $spec "image_pull_policy" ($spec.image_pull_policy | default .Values.images.pullPolicy) -}}
{{- with include "airloom.objectsEndpoint" . -}}
{{- $_ := set $spec "env" (merge ($spec.env | default dict) (dict "AWS_ENDPOINT_URL" .)) -}}
{{- end -}}
{{- with include "airloom.objectsSecret" . -}}
{{- $_ := set $spec "secrets" (prepend ($spec.secrets | default list) .) -}}
{{- end -}}
{{- $teams := deepCopy ($spec.teams | default dict) -}}
{{- range $name, $team := .Values.teams -}}
{{- with omit $team "createNamespace" "podSecurity" "serviceAccountAnnotations" -}}
{{- $_ := set $teams $name (merge (deepCopy .) (get $teams $name | default dict)) -}}
{{- end -}}
{{- end -}}
{{- with $teams -}}
{{- $_ := set $spec "teams" . -}}
{{- end -}}
{{- toYaml (dict "apiVersion" "airloom.io/v1" "kind" "Cluster" "spec" $spec) -}}
{{- end -}}

{{/* Variables of a container of Airflow. Takes (dict "root" $ "env" (list …) "core" true): those of the core know the
database and the keys, a worker's pod knows neither. */}}
{{- define "airloom.airflowEnv" -}}
envFrom:
  - configMapRef: {name: {{ include "airloom.fullname" .root }}-airflow}
  {{- with include "airloom.objectsEnvFrom" .root }}{{ . | nindent 2 }}{{ end }}
  {{- with .root.Values.extraEnvFrom }}{{ toYaml . | nindent 2 }}{{ end }}
{{- with include "airloom.airflowVariables" . | trim }}
env: {{- . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "airloom.airflowVariables" -}}
{{- $keys := include "airloom.keysSecret" .root -}}
{{- if .core }}
{{- include "airloom.databaseEnv" (dict "root" .root "variable" "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN" "secret" .root.Values.data.metadataSecretName "value" "data.metadataSecretName" "database" "airflow") }}
- name: AIRFLOW__CORE__FERNET_KEY
  valueFrom: {secretKeyRef: {name: {{ $keys }}, key: fernet-key}}
- name: AIRFLOW__API__SECRET_KEY
  valueFrom: {secretKeyRef: {name: {{ $keys }}, key: api-secret-key}}
- name: AIRFLOW__API_AUTH__JWT_SECRET
  valueFrom: {secretKeyRef: {name: {{ $keys }}, key: jwt-secret}}
{{- end }}
{{- with .root.Values.pipelines }}
{{- if eq .source "git" }}
- name: AIRFLOW_CONN_AIRLOOM_PIPELINES
  {{- if .git.existingSecret }}
  valueFrom: {secretKeyRef: {name: {{ .git.existingSecret }}, key: connection}}
  {{- else }}
  value: {{ dict "conn_type" "git" "host" (required "pipelines.source is git: give pipelines.git.repository or pipelines.git.existingSecret" .git.repository) | toJson | quote }}
  {{- end }}
{{- end }}
{{- end }}
{{- with .root.Values.env }}
{{ toYaml . }}
{{- end }}
{{- with .env }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "airloom.airflowMounts" -}}
- {name: tmp, mountPath: /tmp}
- {name: airloom, mountPath: /etc/airloom, readOnly: true}
{{- with .Values.volumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "airloom.airflowVolumes" -}}
- name: tmp
  emptyDir: {}
- name: airloom
  configMap: {name: {{ include "airloom.fullname" . }}-files}
{{- with .Values.volumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* One of Airflow's long-running parts. Takes (dict "root" $ "part" "scheduler" "given" .Values.scheduler "command"
(list …) "account" "…" "token" true "ports" (list …) "probes" {…} "grace" 60). */}}
{{- define "airloom.airflowDeployment" -}}
{{- $full := include "airloom.fullname" .root -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $full }}-{{ .part }}
  namespace: {{ .root.Release.Namespace }}
  labels: {{- include "airloom.labels" . | nindent 4 }}
spec:
  replicas: {{ .given.replicas }}
  revisionHistoryLimit: 3
  strategy:
    type: RollingUpdate
    rollingUpdate: {maxUnavailable: 0, maxSurge: 1}
  selector:
    matchLabels: {{- include "airloom.selector" . | nindent 6 }}
  template:
    metadata:
      {{- include "airloom.podMetadata" (dict "root" .root "part" .part "annotations" .given.podAnnotations "config" true) | nindent 6 }}
    spec:
      {{- include "airloom.podSpec" (dict "root" .root "part" .part "account" .account "token" .token) | nindent 6 }}
      terminationGracePeriodSeconds: {{ .grace }}
      initContainers:
        - name: wait
          image: {{ include "airloom.airflowImage" .root }}
          imagePullPolicy: {{ .root.Values.images.pullPolicy }}
          command: [python, /etc/airloom/prepare.py, wait]
          {{- include "airloom.containerSecurity" . | nindent 10 }}
          {{- include "airloom.airflowEnv" (dict "root" .root "core" true "env" (include "airloom.passwordEnv" . | fromYamlArray)) | nindent 10 }}
          resources: {{- toYaml .root.Values.jobs.resources | nindent 12 }}
          volumeMounts: {{- include "airloom.airflowMounts" .root | nindent 12 }}
      containers:
        - name: {{ .part }}
          image: {{ include "airloom.airflowImage" .root }}
          imagePullPolicy: {{ .root.Values.images.pullPolicy }}
          command: {{- toYaml .command | nindent 12 }}
          {{- include "airloom.containerSecurity" . | nindent 10 }}
          {{- include "airloom.airflowEnv" (dict "root" .root "core" true "env" .given.env) | nindent 10 }}
          {{- with .ports }}
          ports: {{- toYaml . | nindent 12 }}
          {{- end }}
          {{- toYaml .probes | nindent 10 }}
          resources: {{- toYaml .given.resources | nindent 12 }}
          volumeMounts: {{- include "airloom.airflowMounts" .root | nindent 12 }}
      volumes: {{- include "airloom.airflowVolumes" .root | nindent 8 }}
{{- end -}}

{{/* The administrator's password, which the API server's `wait` writes where Airflow reads it. */}}
{{- define "airloom.passwordEnv" -}}
{{- if and (eq .part "api-server") (hasSuffix "SimpleAuthManager" .root.Values.auth.manager) -}}
- name: ADMIN_USER
  value: {{ .root.Values.auth.user }}
- name: ADMIN_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ include "airloom.keysSecret" .root }}, key: admin-password}}
{{- end -}}
{{- end -}}
