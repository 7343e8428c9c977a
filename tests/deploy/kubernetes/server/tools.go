//go:build tools

// Package kubernetes names what is built: a Kubernetes API server and its command line, in the version that go.mod says.
package kubernetes

import (
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kubectl"
)
