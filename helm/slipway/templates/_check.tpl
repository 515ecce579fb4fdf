{{/* What a schema cannot say, in words that say what to do: (dict "root" $ "spec" the Platform's). */}}
{{- define "slipway.check" -}}
{{- $values := .root.Values -}}
{{- range $path, $tag := dict "image.version" (include "slipway.version" .root) "platform.spec.image.tag" .spec.image.tag "platform.spec.image.gpuTag" .spec.image.gpuTag -}}
{{- if eq $tag "latest" -}}
{{- fail (printf "%s is latest, which is whatever was pushed last: name a version." $path) -}}
{{- end -}}
{{- end -}}
{{- range $store := list "postgresql" "seaweedfs" "redis" -}}
{{- if hasSuffix ":latest" (get $values $store).image -}}
{{- fail (printf "%s.image is latest, which is whatever was pushed last: name a version." $store) -}}
{{- end -}}
{{- end -}}
{{- if not .spec.stores.objects.endpoint -}}
{{- fail "There is nowhere to keep pictures: set platform.spec.stores.objects.endpoint to your S3 store's address, or seaweedfs.enabled=true for evaluation." -}}
{{- end -}}
{{- if and .spec.ray.faultTolerance (not .spec.ray.faultTolerance.redisAddress) -}}
{{- fail "platform.spec.ray.faultTolerance needs redisAddress (host:port)." -}}
{{- end -}}
{{- $pools := dict -}}
{{- range .spec.pools | default (list (dict "name" "default")) -}}
{{- $_ := set $pools .name . -}}
{{- end -}}
{{- range $name, $model := $values.models -}}
{{- if $model -}}
{{- $pool := dig "placement" "pool" "default" $model -}}
{{- if not (hasKey $pools $pool) -}}
{{- fail (printf "models.%s.placement.pool is %q, and platform.spec.pools has only %s." $name $pool (keys $pools | sortAlpha | join ", ")) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
