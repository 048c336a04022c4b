{{/* Names and values of Secrets. What the chart generates is read back from the cluster at each upgrade, and is made
once a rendering: the checksum of a pod and the Secret itself must be of the same value. */}}

{{- define "airloom.keysSecret" -}}
{{- .Values.keys.existingSecret | default (printf "%s-keys" (include "airloom.fullname" .)) -}}
{{- end -}}

{{- define "airloom.postgresqlSecret" -}}
{{- .Values.postgresql.existingSecret | default (printf "%s-postgresql" (include "airloom.fullname" .)) -}}
{{- end -}}

{{/* Name of the Secret of the object store's keys, in every namespace; empty for workload identity. */}}
{{- define "airloom.objectsSecret" -}}
{{- if .Values.minio.enabled -}}
{{- .Values.minio.existingSecret | default (printf "%s-objects" (include "airloom.fullname" .)) -}}
{{- else -}}
{{- .Values.objectStore.existingSecret -}}
{{- end -}}
{{- end -}}

{{/* A Secret's data as it lies in the cluster (base64), as JSON; {} where it does not, or where nothing may be asked
(`helm template`). Takes (dict "root" $ "name" "…"). */}}
{{- define "airloom.secretData" -}}
{{- $found := lookup "v1" "Secret" .root.Release.Namespace .name -}}
{{- toJson (dig "data" dict ($found | default dict)) -}}
{{- end -}}

{{/* The data of a Secret that the chart generates (base64), as JSON. Takes (dict "root" $ "name" "…" "keys" (list …)). */}}
{{- define "airloom.generated" -}}
{{- $memory := .root.Release -}}
{{- $place := printf "generated/%s" .name -}}
{{- if not (hasKey $memory $place) -}}
{{- $data := fromJson (include "airloom.secretData" .) -}}
{{- range .keys -}}
{{- if not (hasKey $data .) -}}
{{- $value := randAlphaNum 40 -}}
{{- if eq . "fernet-key" -}}
{{- $value = randAlphaNum 32 | b64enc | replace "+" "-" | replace "/" "_" -}}
{{- end -}}
{{- $_ := set $data . ($value | b64enc) -}}
{{- end -}}
{{- end -}}
{{- $_ := set $memory $place (toJson $data) -}}
{{- end -}}
{{- index $memory $place -}}
{{- end -}}

{{- define "airloom.keysData" -}}
{{- include "airloom.generated" (dict "root" . "name" (include "airloom.keysSecret" .) "keys" (list "fernet-key" "api-secret-key" "jwt-secret" "admin-password")) -}}
{{- end -}}

{{- define "airloom.postgresqlData" -}}
{{- include "airloom.generated" (dict "root" . "name" (include "airloom.postgresqlSecret" .) "keys" (list "password")) -}}
{{- end -}}

{{- define "airloom.minioData" -}}
{{- include "airloom.generated" (dict "root" . "name" (include "airloom.objectsSecret" .) "keys" (list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY")) -}}
{{- end -}}

{{- define "airloom.keysChecked" -}}
{{- if .Values.keys.existingSecret -}}
{{- include "airloom.secretData" (dict "root" . "name" .Values.keys.existingSecret) -}}
{{- else -}}
{{- include "airloom.keysData" . -}}
{{- end -}}
{{- end -}}

{{- define "airloom.postgresqlChecked" -}}
{{- if .Values.postgresql.existingSecret -}}
{{- include "airloom.secretData" (dict "root" . "name" .Values.postgresql.existingSecret) -}}
{{- else -}}
{{- include "airloom.postgresqlData" . -}}
{{- end -}}
{{- end -}}

{{- define "airloom.minioChecked" -}}
{{- if .Values.minio.existingSecret -}}
{{- include "airloom.secretData" (dict "root" . "name" .Values.minio.existingSecret) -}}
{{- else -}}
{{- include "airloom.minioData" . -}}
{{- end -}}
{{- end -}}

{{/* A digest of every Secret that pods take variables of, whoever made it: a change rolls them at the next upgrade. */}}
{{- define "airloom.secretsChecksum" -}}
{{- $root := . -}}
{{- $parts := list -}}
{{- if .Values.airflow.enabled -}}{{- $parts = append $parts (include "airloom.keysChecked" .) -}}{{- end -}}
{{- if .Values.postgresql.enabled -}}{{- $parts = append $parts (include "airloom.postgresqlChecked" .) -}}{{- end -}}
{{- if .Values.minio.enabled -}}{{- $parts = append $parts (include "airloom.minioChecked" .) -}}{{- end -}}
{{- range compact (list .Values.data.metadataSecretName .Values.mlflow.databaseSecretName .Values.objectStore.existingSecret .Values.pipelines.git.existingSecret) -}}
{{- $parts = append $parts (include "airloom.secretData" (dict "root" $root "name" .)) -}}
{{- end -}}
{{- sha256sum (join "\n" $parts) -}}
{{- end -}}

{{/* Variables that hold the address of a database. Takes (dict "root" $ "variable" "…" "secret" "…" "database" "…"). */}}
{{- define "airloom.databaseEnv" -}}
{{- if .secret }}
- name: {{ .variable }}
  valueFrom: {secretKeyRef: {name: {{ .secret }}, key: connection}}
{{- else if .root.Values.postgresql.enabled }}
- name: POSTGRESQL_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ include "airloom.postgresqlSecret" .root }}, key: password}}
- name: {{ .variable }}
  value: postgresql+psycopg2://airloom:$(POSTGRESQL_PASSWORD)@{{ include "airloom.host" (dict "root" .root "part" "postgresql") }}:5432/{{ .database }}
{{- else }}
{{- fail (printf "postgresql.enabled is false: give %s, the name of a Secret with the key connection" .value) }}
{{- end }}
- name: AIRLOOM_DATABASE_SECRET
  value: {{ .secret | default (include "airloom.postgresqlSecret" .root) }}
{{- end -}}

{{/* The object store's address and keys. */}}
{{- define "airloom.objectsEnv" -}}
{{- with include "airloom.objectsEndpoint" . }}
- {name: AWS_ENDPOINT_URL, value: {{ . | quote }}}
{{- end }}
{{- end -}}

{{- define "airloom.objectsEnvFrom" -}}
{{- with include "airloom.objectsSecret" . }}
- secretRef: {name: {{ . }}}
{{- end }}
{{- end -}}
