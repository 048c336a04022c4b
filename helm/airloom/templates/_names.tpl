{{/* Names, labels, images and addresses. */}}

{{- define "airloom.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains "airloom" .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-airloom" .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels by which a part's pods are chosen; they never change. Takes (dict "root" $ "part" "scheduler"). */}}
{{- define "airloom.selector" -}}
app.kubernetes.io/name: airloom
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end -}}

{{/* Labels of everything. Takes the same. */}}
{{- define "airloom.labels" -}}
{{ include "airloom.selector" . }}
app.kubernetes.io/part-of: airloom
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{/* An image, whole. Takes (dict "root" $ "given" .Values.images.airflow "name" "airflow"). */}}
{{- define "airloom.image" -}}
{{- .given | default (printf "%s/%s:%s" .root.Values.images.registry .name (.root.Values.images.tag | default .root.Chart.AppVersion)) -}}
{{- end -}}

{{- define "airloom.airflowImage" -}}
{{- include "airloom.image" (dict "root" . "given" .Values.images.airflow "name" "airflow") -}}
{{- end -}}

{{- define "airloom.mlflowImage" -}}
{{- .Values.images.mlflow | default (include "airloom.image" (dict "root" . "given" .Values.images.stageCpu "name" "stage-cpu")) -}}
{{- end -}}

{{/* A Service's name as pods of every namespace find it. Takes (dict "root" $ "part" "mlflow"). */}}
{{- define "airloom.host" -}}
{{- printf "%s-%s.%s.svc.%s" (include "airloom.fullname" .root) .part .root.Release.Namespace .root.Values.clusterDomain -}}
{{- end -}}

{{- define "airloom.airflowUrl" -}}
{{- if .Values.airflow.enabled -}}
http://{{ include "airloom.host" (dict "root" . "part" "api-server") }}:8080
{{- else -}}
{{- .Values.airflow.urlElsewhere -}}
{{- end -}}
{{- end -}}

{{- define "airloom.mlflowUrl" -}}
{{- if .Values.mlflow.enabled -}}
http://{{ include "airloom.host" (dict "root" . "part" "mlflow") }}:5000
{{- else -}}
{{- required "mlflow.enabled is false: give mlflow.url, the address of the MLflow that runs elsewhere" .Values.mlflow.url -}}
{{- end -}}
{{- end -}}

{{- define "airloom.gatewayUrl" -}}
{{- if .Values.gateway.enabled -}}
http://{{ include "airloom.host" (dict "root" . "part" "gateway") }}:8090
{{- else -}}
{{- .Values.gateway.url -}}
{{- end -}}
{{- end -}}

{{- define "airloom.objectsUri" -}}
{{- if .Values.objectStore.uri -}}
{{- .Values.objectStore.uri | trimSuffix "/" -}}
{{- else if .Values.minio.enabled -}}
s3://airloom
{{- else -}}
{{- fail "minio.enabled is false: give objectStore.uri, such as s3://bucket/prefix" -}}
{{- end -}}
{{- end -}}

{{- define "airloom.objectsEndpoint" -}}
{{- if .Values.objectStore.endpoint -}}
{{- .Values.objectStore.endpoint -}}
{{- else if .Values.minio.enabled -}}
http://{{ include "airloom.host" (dict "root" . "part" "minio") }}:9000
{{- end -}}
{{- end -}}

{{/* A team's namespace, as the cluster file has it. Takes (dict "root" $ "name" "ops" "team" {…}). */}}
{{- define "airloom.teamNamespace" -}}
{{- $pattern := .root.Values.cluster.namespace | default "airloom-{team}" -}}
{{- .team.namespace | default (replace "{team}" (replace "_" "--" .name) $pattern) -}}
{{- end -}}

{{- define "airloom.airflowAccount" -}}
{{ include "airloom.fullname" . }}-airflow
{{- end -}}
