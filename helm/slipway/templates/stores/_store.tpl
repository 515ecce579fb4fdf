{{/* The metadata and outline that the bundled stores share. */}}
{{- define "slipway.store.metadata" -}}
name: {{ include "slipway.fullname" .root }}-{{ .component }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "slipway.labels" (pick . "root" "component") | nindent 2 }}
{{- end -}}

{{/* A headless Service: (dict "root" $ "component" "database" "port" 5432). */}}
{{- define "slipway.store.service" -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "slipway.store.metadata" . | nindent 2 }}
spec:
  clusterIP: None
  selector:
    {{- include "slipway.selector" (pick . "root" "component") | nindent 4 }}
  ports:
    - {name: {{ .component }}, port: {{ .port }}, targetPort: {{ .component }}}
{{- end -}}

{{/* What comes before the containers: (dict "root" $ "component" "database" "values" .Values.postgresql "user" 999). */}}
{{- define "slipway.store.outline" -}}
serviceName: {{ include "slipway.fullname" .root }}-{{ .component }}
replicas: 1
selector:
  matchLabels:
    {{- include "slipway.selector" (pick . "root" "component") | nindent 4 }}
{{ include "slipway.claim" . }}
{{- end -}}

{{- define "slipway.store.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: 60
{{- with include "slipway.pullSecrets" .root }}
{{- . }}
{{- end }}
{{- with include "slipway.scheduling" .values }}
{{- . }}
{{- end }}
securityContext:
  {{- include "slipway.podSecurity" (pick . "user") | nindent 2 }}
{{- end -}}
