"""Grafana dashboards for Miniwatch, written as code: ``python -m miniwatch_dashboards`` writes each as JSON into ``deploy/grafana/dashboards``."""
