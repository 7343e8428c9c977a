{{- define "miniwatch.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "miniwatch.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "miniwatch.labels" -}}
{{ include "miniwatch.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "miniwatch.image" -}}
{{- if .Values.image.digest }}{{ printf "%s@%s" .Values.image.repository .Values.image.digest }}{{ else }}{{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) }}{{ end }}
{{- end }}

{{- /*
Which checks of /readyz a role's readiness leaves out. Where others send requests (all, api), only what makes requests fail may count: a source that
fails, or a rule, is told by alerts, and is no reason to have nobody answer. One process takes events into its spool even while its record
cannot be written. To detect and respond nobody sends anything: their readiness says when the next of them may be replaced, so what a version or
a configuration can break counts, and what events bring about does not.
*/}}
{{- define "miniwatch.unasked" -}}
{{- $checks := dict "all" (list "store" "sources" "lag" "rules" "models") "api" (list "sources" "lag" "rules" "models") "detect" (list "lag" "rules") "respond" (list "lag" "rules") }}
{{- range $at, $check := get $checks . }}{{ ternary "?" "&" (eq $at 0) }}exclude={{ $check }}{{ end }}
{{- end }}

{{- /* What is wrong with the values, before anything is made of them. */}}
{{- define "miniwatch.checked" -}}
{{- if not (has .Values.mode (list "standalone" "workers")) }}{{ fail (printf "mode is standalone or workers, not %s" .Values.mode) }}{{ end }}
{{- if eq .Values.mode "workers" }}
{{- $variables := list }}{{ range .Values.env }}{{ $variables = append $variables .name }}{{ end }}
{{- if not (or (has "MINIWATCH_STORE__URL" $variables) (regexMatch "(?m)^[^#\n]*=\\s*[\"']postgresql://" .Values.config)) }}{{ fail "mode workers: set store.url in config, or MINIWATCH_STORE__URL in env, to a PostgreSQL that all processes reach" }}{{ end }}
{{- if not (regexMatch "(?m)^[^#\n]*=\\s*[\"']kafka://" .Values.config) }}{{ fail "mode workers: name a source of kafka:// in config, which several processes can share" }}{{ end }}
{{- if and .Values.networkPolicy.enabled (not .Values.networkPolicy.egress) }}{{ fail "mode workers: name brokers, PostgreSQL and who is told of alerts in networkPolicy.egress, or they are reached by nobody; networkPolicy.enabled=false where another policy says who may go where" }}{{ end }}
{{- if not .Values.keysSecret }}{{ fail "mode workers: set keysSecret, a secret with people.key and seal.key that all processes share" }}{{ end }}
{{- with .Values.detect.autoscaling }}{{ if .enabled }}
{{- if not (and .bootstrapServers .topic .consumerGroup) }}{{ fail "detect.autoscaling: set bootstrapServers, topic and consumerGroup" }}{{ end }}
{{- if lt (int .minReplicas) 1 }}{{ fail (printf "detect.autoscaling.minReplicas is %v: at least 1, or nobody watches" .minReplicas) }}{{ end }}
{{- if gt (int .minReplicas) (int .maxReplicas) }}{{ fail (printf "detect.autoscaling.minReplicas is %v: at most maxReplicas (%v)" .minReplicas .maxReplicas) }}{{ end }}
{{- if gt (int .cooldown_s) 3600 }}{{ fail (printf "detect.autoscaling.cooldown_s is %v: at most 3600, which is as long as Kubernetes waits" .cooldown_s) }}{{ end }}
{{- end }}{{ end }}
{{- end }}
{{- end }}

{{- /* A pod of a role; takes root, role, resources, and whether the data folder is a volume that stays. */}}
{{- define "miniwatch.pod" -}}
{{- $root := .root }}{{- $values := .root.Values }}
metadata:
  labels:
    {{- include "miniwatch.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .role }}
    {{- with $values.podLabels }}{{ toYaml . | nindent 4 }}{{ end }}
  annotations:
    checksum/config: {{ include (print $root.Template.BasePath "/config.yaml") $root | sha256sum }}
    {{- with $values.podAnnotations }}{{ toYaml . | nindent 4 }}{{ end }}
spec:
  serviceAccountName: {{ include "miniwatch.name" $root }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ $values.terminationGracePeriod_s }}
  {{- with $values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with $values.imagePullSecrets }}
  imagePullSecrets: {{ toYaml . | nindent 4 }}
  {{- end }}
  securityContext: {{ toYaml $values.podSecurityContext | nindent 4 }}
  {{- with $values.nodeSelector }}
  nodeSelector: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.tolerations }}
  tolerations: {{ toYaml . | nindent 4 }}
  {{- end }}
  affinity:
    {{- if $values.affinity }}{{ toYaml $values.affinity | nindent 4 }}{{ else }}
    podAntiAffinity:
      preferredDuringSchedulingIgnoredDuringExecution:
        - weight: 100
          podAffinityTerm:
            topologyKey: kubernetes.io/hostname
            labelSelector:
              matchLabels:
                {{- include "miniwatch.selector" $root | nindent 16 }}
                app.kubernetes.io/component: {{ .role }}
    {{- end }}
  containers:
    - name: miniwatch
      image: {{ include "miniwatch.image" $root }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      args: [run, --role, {{ .role }}]
      env:
        # In the environment, so that what is typed behind `kubectl exec` goes by it too.
        - name: MINIWATCH_CONFIG
          value: /etc/miniwatch/config.toml
        - name: MINIWATCH_DATA_DIR
          value: /var/lib/miniwatch
        - name: MINIWATCH_HTTP__LISTEN
          value: "0.0.0.0:9464"
        {{- if $values.tlsSecret }}
        - name: MINIWATCH_HTTP__TLS_CERTIFICATE
          value: /etc/miniwatch/tls/tls.crt
        - name: MINIWATCH_HTTP__TLS_KEY
          value: /etc/miniwatch/tls/tls.key
        {{- else }}
        - name: MINIWATCH_HTTP__LISTEN_ANYWHERE
          value: "true"
        {{- end }}
        {{- if eq .role "detect" }}
        # Under its own name a worker that is replaced in time has its partitions again, and others need not take them up.
        - name: MINIWATCH_KAFKA__GROUP_INSTANCE_ID
          valueFrom: { fieldRef: { fieldPath: metadata.name } }
        {{- end }}
        {{- with $values.env }}{{ toYaml . | nindent 8 }}{{ end }}
      ports:
        - name: http
          containerPort: 9464
      startupProbe:
        httpGet: { path: /healthz, port: http{{ if $values.tlsSecret }}, scheme: HTTPS{{ end }} }
        periodSeconds: 5
        failureThreshold: {{ max 1 (div $values.startup_s 5) }}
      livenessProbe:
        httpGet: { path: /healthz, port: http{{ if $values.tlsSecret }}, scheme: HTTPS{{ end }} }
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      readinessProbe:
        httpGet: { path: "/readyz{{ include "miniwatch.unasked" .role }}", port: http{{ if $values.tlsSecret }}, scheme: HTTPS{{ end }} }
        periodSeconds: 5
        timeoutSeconds: 5
      resources: {{ toYaml .resources | nindent 8 }}
      securityContext: {{ toYaml $values.securityContext | nindent 8 }}
      volumeMounts:
        - { name: config, mountPath: /etc/miniwatch/config.toml, subPath: config.toml, readOnly: true }
        - { name: data, mountPath: /var/lib/miniwatch }
        - { name: tmp, mountPath: /tmp }
        {{- if and (eq .role "detect") $values.detect.snapshots.shared }}
        - { name: snapshots, mountPath: /var/lib/miniwatch/snapshots }
        {{- end }}
        {{- if $values.keysSecret }}
        - { name: keys, mountPath: /var/lib/miniwatch/keys, readOnly: true }
        {{- end }}
        {{- if $values.tlsSecret }}
        - { name: tls, mountPath: /etc/miniwatch/tls, readOnly: true }
        {{- end }}
        {{- range $values.secrets }}
        - { name: {{ printf "secret-%s" .name }}, mountPath: {{ printf "/etc/miniwatch/secrets/%s" .name }}, readOnly: true }
        {{- end }}
  volumes:
    - name: config
      configMap:
        name: {{ include "miniwatch.name" $root }}
    - name: tmp
      emptyDir: { sizeLimit: 256Mi }
    {{- if not .keeps }}
    - name: data
      emptyDir: { sizeLimit: 512Mi }
    {{- end }}
    {{- if and (eq .role "detect") $values.detect.snapshots.shared }}
    - name: snapshots
      persistentVolumeClaim: { claimName: {{ include "miniwatch.name" $root }}-snapshots }
    {{- end }}
    {{- with $values.keysSecret }}
    - name: keys
      secret: { secretName: {{ . }}, defaultMode: 0440 }
    {{- end }}
    {{- with $values.tlsSecret }}
    - name: tls
      secret: { secretName: {{ . }}, defaultMode: 0440 }
    {{- end }}
    {{- range $values.secrets }}
    - name: {{ printf "secret-%s" .name }}
      secret: { secretName: {{ .secret }}, defaultMode: 0440 }
    {{- end }}
{{- end }}
