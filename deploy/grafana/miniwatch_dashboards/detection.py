"""What is found, what it is worth, and what is not seen."""

from __future__ import annotations

from typing import Final

from miniwatch_dashboards.page import Ask, Page, Panel, Row

DETECTION: Final = Page(
    "miniwatch-detection",
    "Miniwatch: detection quality",
    "What is found, what it is worth, and what is not seen.",
    (
        Row(
            "Findings",
            (
                Panel(
                    "By kind",
                    "Findings of rules, statistics, models and integrity checks.",
                    "short",
                    (Ask("sum by (kind) (increase(miniwatch_findings_total{<>}[$__rate_interval]))", "{{kind}}"),),
                    stacked=True,
                ),
                Panel(
                    "Loudest rules",
                    "The ten rules with most findings in the last hour.",
                    "short",
                    (Ask("topk(10, sum by (rule) (increase(miniwatch_rule_findings_total{<>}[1h])))", "{{rule}}"),),
                ),
                Panel(
                    "What became of findings",
                    "Why a finding led to an act, or to none.",
                    "short",
                    (
                        Ask(
                            "sum by (reason) (increase(miniwatch_findings_considered_total{<>}[$__rate_interval])) > 0",
                            "{{reason}}",
                        ),
                    ),
                    stacked=True,
                ),
                Panel(
                    "Rules on trial",
                    "Findings of rules that are being tried; nothing comes of them.",
                    "short",
                    (
                        Ask(
                            "sum by (rule) (increase(miniwatch_shadow_findings_total{<>}[$__rate_interval]))",
                            "{{rule}}",
                        ),
                    ),
                ),
                Panel(
                    "Held back",
                    "Findings that a detector did not tell: more than it may in an hour, or of too many apps at once.",
                    "short",
                    (
                        Ask(
                            "sum by (detector) (increase(miniwatch_findings_held_back_total{<>}[$__rate_interval]))",
                            "{{detector}}",
                        ),
                    ),
                ),
            ),
        ),
        Row(
            "What people say of them",
            (
                Panel(
                    "Precision by kind",
                    "The true ones among findings that were marked true or false.",
                    "percentunit",
                    (Ask("max by (kind) (miniwatch_precision_ratio{<>})", "{{kind}}"),),
                ),
                Panel(
                    "Marked",
                    "Findings that people have marked, by verdict.",
                    "short",
                    (Ask("max by (kind, verdict) (miniwatch_marked_findings{<>})", "{{kind}} {{verdict}}"),),
                ),
                Panel(
                    "Least precise rules",
                    "The ten rules whose marked findings are true least often.",
                    "percentunit",
                    (Ask("bottomk(10, max by (rule) (miniwatch_rule_precision_ratio{<>}))", "{{rule}}"),),
                ),
                Panel(
                    "Judged by rule",
                    "How many findings these precisions rest on: the ten rules with most.",
                    "short",
                    (Ask("topk(10, max by (rule) (miniwatch_rule_judged_findings{<>}))", "{{rule}}"),),
                ),
            ),
        ),
        Row(
            "Rules and models",
            (
                Panel(
                    "Rules",
                    "Rules by whether they are active; refused ones do not watch.",
                    "short",
                    (Ask("max by (state) (miniwatch_rules{<>})", "{{state}}"),),
                ),
                Panel(
                    "Trouble with rules",
                    "Rules left out for a fault, moved to shadow by a guard, and reloads that failed.",
                    "short",
                    (
                        Ask(
                            "max(increase(miniwatch_rules_suspended_total{<>}[$__rate_interval]))",
                            "suspended",
                        ),
                        Ask("sum(increase(miniwatch_rules_shadowed_total{<>}[$__rate_interval]))", "in shadow"),
                        Ask(
                            'sum(increase(miniwatch_rule_reloads_total{<>,outcome="failed"}[$__rate_interval]))',
                            "reload failed",
                        ),
                    ),
                ),
                Panel(
                    "Drift of features",
                    "Population stability index since the model in force was trained; above 0.25 a new model is due.",
                    "short",
                    (Ask("max by (feature) (miniwatch_model_drift_index{<>})", "{{feature}}"),),
                ),
                Panel(
                    "Changes",
                    "Changes of packs and models, by what came of them.",
                    "short",
                    (
                        Ask(
                            "sum by (outcome) (increase(miniwatch_pack_changes_total{<>}[$__rate_interval]))",
                            "packs {{outcome}}",
                        ),
                        Ask(
                            "sum by (outcome) (increase(miniwatch_model_changes_total{<>}[$__rate_interval]))",
                            "models {{outcome}}",
                        ),
                    ),
                ),
            ),
        ),
        Row(
            "What is not seen",
            (
                Panel(
                    "Share of dead letters",
                    "Lines that could not become events, among all. Beyond guards.dead_letter_share_max acts are held.",
                    "percentunit",
                    (
                        Ask(
                            "sum(rate(miniwatch_events_dead_lettered_total{<>}[$__rate_interval])) / sum(rate(miniwatch_events_received_total{<>}[$__rate_interval]))",
                            "dead letters",
                        ),
                    ),
                ),
                Panel(
                    "Forgotten",
                    "Things given up because a detector's bound was met.",
                    "short",
                    (
                        Ask(
                            "sum by (detector) (increase(miniwatch_forgotten_total{<>}[$__rate_interval]))",
                            "{{detector}}",
                        ),
                    ),
                ),
                Panel(
                    "Overlooked",
                    "Events that something could not look at for a fault of the program.",
                    "short",
                    (Ask("sum by (by) (increase(miniwatch_events_overlooked_total{<>}[$__rate_interval]))", "{{by}}"),),
                ),
                Panel(
                    "Apps in the registry",
                    "Facts about these apps stand beside their events.",
                    "short",
                    (Ask("max by (instance) (miniwatch_registry_apps{<>})", "{{instance}}"),),
                ),
            ),
        ),
    ),
)
