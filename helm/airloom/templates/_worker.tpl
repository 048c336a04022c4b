{{/* The pod of one try of a task, with KubernetesExecutor. It knows no database and no key. */}}
{{- define "airloom.worker" -}}
apiVersion: v1
kind: Pod
metadata:
  name: worker
  labels: {{- include "airloom.labels" (dict "root" . "part" "worker") | nindent 4 }}
spec:
  restartPolicy: Never
  {{- include "airloom.podSpec" (dict "root" . "part" "worker" "account" (include "airloom.airflowAccount" .) "token" true) | nindent 2 }}
  containers:
    - name: base
      image: {{ include "airloom.airflowImage" . }}
      imagePullPolicy: {{ .Values.images.pullPolicy }}
      {{- include "airloom.containerSecurity" . | nindent 6 }}
      {{- include "airloom.airflowEnv" (dict "root" . "core" false "env" list) | nindent 6 }}
      resources: {{- toYaml .Values.workers.resources | nindent 8 }}
      volumeMounts: {{- include "airloom.airflowMounts" . | nindent 8 }}
  volumes: {{- include "airloom.airflowVolumes" . | nindent 4 }}
{{- end -}}
