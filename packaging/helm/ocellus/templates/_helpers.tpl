{{- define "ocellus.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name }}{{ end -}}
{{- end }}

{{- define "ocellus.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "ocellus.labels" -}}
{{ include "ocellus.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "ocellus.credentials" -}}
{{- if .Values.credentials.existingSecret }}{{ .Values.credentials.existingSecret }}
{{- else if .Values.credentials.values }}{{ include "ocellus.name" . }}-credentials
{{- end }}
{{- end }}

{{- define "ocellus.environment" -}}
{{- if .Values.environment.existingSecret }}{{ .Values.environment.existingSecret }}
{{- else if .Values.environment.values }}{{ include "ocellus.name" . }}-environment
{{- end }}
{{- end }}

{{/* What would leave a pod that never gets ready, or metrics that nobody may read, is refused here. */}}
{{- define "ocellus.check" -}}
{{- if not (regexMatch "(?m)^\\s*listen\\s*=\\s*\"(0\\.0\\.0\\.0|\\[::\\]):8642\"" .Values.config) }}
{{- fail "config: the probes need the page on all addresses: set listen = \"0.0.0.0:8642\" in the table [web]" }}
{{- end }}
{{- if .Values.serviceMonitor.enabled }}
{{- if not (regexMatch "(?m)^\\s*metrics_token_credential\\s*=\\s*\"metrics\"" .Values.config) }}
{{- fail "serviceMonitor: metrics need a token: set metrics_token_credential = \"metrics\" in the table [web] of config" }}
{{- end }}
{{- if not (include "ocellus.credentials" .) }}
{{- fail "serviceMonitor: the token is missing: give it as metrics in credentials.values, or in the Secret that credentials.existingSecret names" }}
{{- end }}
{{- end }}
{{- end }}
