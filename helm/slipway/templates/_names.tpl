{{/* Names, labels and images. */}}
{{- define "slipway.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains "slipway" .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-slipway" .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "slipway.operatorName" -}}
{{- printf "%s-operator" (include "slipway.fullname" .) -}}
{{- end -}}

{{- define "slipway.serviceAccount" -}}
{{- .Values.operator.serviceAccount.name | default (include "slipway.operatorName" .) -}}
{{- end -}}

{{- define "slipway.gateway" -}}
{{- printf "%s-gateway" .Values.platform.name -}}
{{- end -}}

{{/* Labels that select a component's pods: (dict "root" $ "component" "operator"). */}}
{{- define "slipway.selector" -}}
app.kubernetes.io/name: slipway
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* All labels of a component's object: (dict "root" $ "component" "operator"). */}}
{{- define "slipway.labels" -}}
{{ include "slipway.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: slipway
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "slipway.version" -}}
{{- .Values.image.version | default .Chart.AppVersion -}}
{{- end -}}

{{/* One of the platform's images: (dict "root" $ "variant" "operator"). */}}
{{- define "slipway.image" -}}
{{- $values := .root.Values.image -}}
{{- $tag := printf "%s:%s-%s" $values.repository (include "slipway.version" .root) .variant -}}
{{- with get $values.digests .variant }}{{ $tag }}@{{ . }}{{ else }}{{ $tag }}{{ end -}}
{{- end -}}

{{/* true, false, or what the API server knows: (dict "root" $ "wanted" value "api" "group/version/Kind"). */}}
{{- define "slipway.wanted" -}}
{{- if eq (toString .wanted) "auto" -}}
{{- if .root.Capabilities.APIVersions.Has .api }}true{{ end -}}
{{- else if eq (toString .wanted) "true" -}}true
{{- end -}}
{{- end -}}

{{- define "slipway.priorityClass" -}}
{{- printf "%s-%s-%s" .root.Release.Namespace (include "slipway.fullname" .root) .role -}}
{{- end -}}
