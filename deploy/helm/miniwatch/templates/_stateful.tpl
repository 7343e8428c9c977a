{{- /* A role whose data folder stays; takes root, role, settings, replicas (none where something else counts them). */}}
{{- define "miniwatch.stateful" -}}
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: {{ include "miniwatch.name" .root }}-{{ .role }}
  labels:
    {{- include "miniwatch.labels" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .role }}
spec:
  {{- with .replicas }}
  replicas: {{ . }}
  {{- end }}
  serviceName: {{ include "miniwatch.name" .root }}-{{ .role }}
  podManagementPolicy: Parallel
  updateStrategy:
    type: RollingUpdate
  selector:
    matchLabels:
      {{- include "miniwatch.selector" .root | nindent 6 }}
      app.kubernetes.io/component: {{ .role }}
  template: {{ include "miniwatch.pod" (dict "root" .root "role" .role "resources" .settings.resources "keeps" true) | nindent 4 }}
  volumeClaimTemplates:
    - metadata:
        name: data
        labels:
          {{- include "miniwatch.selector" .root | nindent 10 }}
          app.kubernetes.io/component: {{ .role }}
      spec:
        accessModes: [ReadWriteOnce]
        {{- with .settings.storage.className }}
        storageClassName: {{ . }}
        {{- end }}
        resources:
          requests:
            storage: {{ .settings.storage.size }}
{{- end }}
