"""What is owed to incidents, whether people keep it, and whether they are told."""

from __future__ import annotations

from typing import Final

from miniwatch_dashboards.page import Ask, Page, Panel, Row

_PEOPLE: Final = 'channel!~"enforcer:.*|topic:.*"'


_ACKNOWLEDGE: Final = 'clock="acknowledge"'
_RESOLVE: Final = 'clock="resolve"'
_WAITING: Final = 'state="running"'
_OVERDUE: Final = 'state="overdue"'
_MET: Final = 'outcome="met"'


def _clocks(*matchers: str) -> str:
    """Clocks in the record: every process that can see them tells the same, so the greatest counts."""
    selected = f"miniwatch_incident_clocks{{{','.join(('<>', *matchers))}}}"
    return f"(max by (clock, severity, state) ({selected}))"


def _number(*matchers: str) -> str:
    """How many clocks; 0 where there are none."""
    return f"sum {_clocks(*matchers)} or vector(0)"


def _settled(by: str, *matchers: str) -> str:
    """Clocks that ended within the last day."""
    selected = f"miniwatch_incident_clocks_settled{{{','.join(('<>', *matchers))}}}"
    return f"sum by ({by}) (max by (clock, severity, outcome) ({selected}))"


def _in_time(*matchers: str) -> str:
    """Those that were stopped in time, among all that ended."""
    return f"{_settled('clock', *matchers, _MET)} / ({_settled('clock', *matchers)} > 0)"


def _time_to(clock: str) -> tuple[Ask, ...]:
    asked = f'max by (severity, share) (miniwatch_incident_answer_seconds{{<>,clock="{clock}"}})'
    return (Ask(asked, "{{severity}}, {{share}} in 100"),)


ONCALL: Final = Page(
    "miniwatch-oncall",
    "Miniwatch: on call and SLA",
    "What is owed to incidents, whether people keep it, and whether they are told.",
    (
        Row(
            "Now",
            (
                Panel(
                    "Open incidents",
                    "Incidents that nobody has closed.",
                    "short",
                    (Ask(_number(_RESOLVE), "open"),),
                    "figure",
                    4,
                ),
                Panel(
                    "Not acknowledged",
                    "Incidents of which nobody has said that they have seen them.",
                    "short",
                    (Ask(_number(_ACKNOWLEDGE), "waiting"),),
                    "figure",
                    4,
                ),
                Panel(
                    "Critical and overdue",
                    "Clocks of critical incidents that ran out and that nobody has stopped.",
                    "short",
                    (Ask(_number('severity="critical"', _OVERDUE), "overdue"),),
                    "figure",
                    4,
                    bad_from=1,
                ),
                Panel(
                    "Overdue",
                    "Clocks of all incidents that ran out and that nobody has stopped.",
                    "short",
                    (Ask(_number(_OVERDUE), "overdue"),),
                    "figure",
                    4,
                    bad_from=1,
                ),
                Panel(
                    "Acknowledged in time",
                    "Of the incidents of the last 24 hours that were acknowledged or should have been, those that were in time. The objective is 95 %.",
                    "percentunit",
                    (Ask(_in_time(_ACKNOWLEDGE), "in time"),),
                    "figure",
                    4,
                    bad_from=0.95,
                    bad_below=True,
                ),
                Panel(
                    "Answered in time",
                    "The same of the first answer.",
                    "percentunit",
                    (Ask(_in_time('clock="respond"'), "in time"),),
                    "figure",
                    4,
                    bad_from=0.95,
                    bad_below=True,
                ),
            ),
        ),
        Row(
            "What is owed",
            (
                Panel(
                    "Open incidents",
                    "Incidents that nobody has closed, by severity.",
                    "short",
                    (Ask(f"sum by (severity) {_clocks(_RESOLVE)}", "{{severity}}"),),
                    width=8,
                    stacked=True,
                ),
                Panel(
                    "Episodes begun",
                    "Incidents opened by severity; one that becomes more severe is owed an answer again, and is not counted again.",
                    "short",
                    (
                        Ask(
                            "sum by (severity) (increase(miniwatch_incidents_opened_total{<>}[$__rate_interval]))",
                            "{{severity}}",
                        ),
                    ),
                    width=8,
                    stacked=True,
                ),
                Panel(
                    "Clocks running",
                    "What is owed and not late yet, by clock.",
                    "short",
                    (Ask(f"sum by (clock) {_clocks(_WAITING)}", "{{clock}}"),),
                    width=8,
                ),
                Panel(
                    "Overdue",
                    "Clocks that ran out and that nobody has stopped.",
                    "short",
                    (Ask(f"sum by (clock, severity) {_clocks(_OVERDUE)}", "{{clock}} {{severity}}"),),
                    width=8,
                    stacked=True,
                ),
                Panel(
                    "Warnings",
                    "Times that people were told how much of a clock's time is over, by clock and share.",
                    "short",
                    (
                        Ask(
                            "sum by (clock, share) (increase(miniwatch_incident_clock_warnings_total{<>}[$__rate_interval]))",
                            "{{clock}} {{share}} %",
                        ),
                    ),
                    width=8,
                ),
                Panel(
                    "Ran out",
                    "Clocks that ran out, when they did.",
                    "short",
                    (
                        Ask(
                            "sum by (clock, severity) (increase(miniwatch_incident_clock_breaches_total{<>}[$__rate_interval]))",
                            "{{clock}} {{severity}}",
                        ),
                    ),
                    width=8,
                ),
            ),
        ),
        Row(
            "How it is kept, over the last 24 hours at each moment",
            (
                Panel(
                    "In time",
                    "Of the clocks that were stopped or ran out, those that were stopped in time. It says little where few were: see the next.",
                    "percentunit",
                    (Ask(_in_time(), "{{clock}}"),),
                ),
                Panel(
                    "Ended",
                    "How many clocks these shares rest on.",
                    "short",
                    (Ask(_settled("clock, outcome"), "{{clock}} {{outcome}}"),),
                    stacked=True,
                ),
                Panel(
                    "Time to acknowledge",
                    "From the beginning of an episode until somebody said that they had seen it: of half of those that were seen, and of nine in ten.",
                    "s",
                    _time_to("acknowledge"),
                    width=8,
                ),
                Panel(
                    "Time to answer",
                    "The same until the first answer.",
                    "s",
                    _time_to("respond"),
                    width=8,
                ),
                Panel(
                    "Time to close",
                    "The same until it was closed.",
                    "s",
                    _time_to("resolve"),
                    width=8,
                ),
            ),
        ),
        Row(
            "Whether people are told",
            (
                Panel(
                    "Tries",
                    "Tries to tell people, by channel and outcome; dead: given up.",
                    "short",
                    (
                        Ask(
                            f"sum by (channel, outcome) (increase(miniwatch_deliveries_total{{<>,{_PEOPLE}}}[$__rate_interval]))",
                            "{{channel}} {{outcome}}",
                        ),
                    ),
                    width=8,
                ),
                Panel(
                    "Time until taken",
                    "Time from the making of a message until it was taken: of 99 in 100.",
                    "s",
                    (
                        Ask(
                            f"histogram_quantile(0.99, sum by (channel, le) (rate(miniwatch_delivery_age_seconds_bucket{{<>,{_PEOPLE}}}[$__rate_interval])))",
                            "{{channel}}",
                        ),
                    ),
                    width=8,
                ),
                Panel(
                    "Oldest message",
                    "For how long the oldest message of each channel has waited.",
                    "s",
                    (Ask(f"max by (channel) (miniwatch_outbox_oldest_seconds{{<>,{_PEOPLE}}})", "{{channel}}"),),
                    width=8,
                ),
                Panel(
                    "Kept up at Alertmanager",
                    "Alerts that stand and are sent again, by member; left out: open, and not kept up since there are too many.",
                    "short",
                    (
                        Ask("max by (channel) (miniwatch_alerts_standing{<>})", "{{channel}}"),
                        Ask("max by (channel) (miniwatch_alerts_left_out{<>})", "{{channel}} left out"),
                    ),
                    width=8,
                ),
                Panel(
                    "Sent again",
                    "Posts to members of Alertmanager by which alerts that stand were sent again.",
                    "short",
                    (
                        Ask(
                            "sum by (channel, outcome) (increase(miniwatch_alerts_resent_total{<>}[$__rate_interval]))",
                            "{{channel}} {{outcome}}",
                        ),
                    ),
                    width=8,
                ),
                Panel(
                    "Late alerts",
                    "Alerts to people that took more than a minute, or were given up, over a day; the objective is 1 % at most.",
                    "percentunit",
                    (Ask('job:miniwatch_slo_delivery_errors:ratio_rate1d{job="$job"}', "late"),),
                    width=8,
                ),
            ),
        ),
    ),
)
