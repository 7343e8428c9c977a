"""What people's marks of findings come to, as metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from monitor.telemetry import metrics
from monitor.telemetry.happening import Happening, Level

if TYPE_CHECKING:
    from monitor.telemetry.meter import Meter
    from playbooks.precision import Precision


class FeedbackCounted(Happening, frozen=True, kw_only=True):
    """How findings are marked now: of each kind of detector, and of each rule in force of which any is."""

    level: ClassVar[Level] = "debug"
    kinds: Mapping[str, Precision]
    rules: Mapping[str, Precision]

    def count(self, meter: Meter) -> None:
        meter.say(
            metrics.FINDINGS_MARKED,
            {
                (kind, verdict): getattr(one, verdict.replace("-", "_"))
                for kind, one in self.kinds.items()
                for verdict in metrics.VERDICTS
            },
        )
        meter.say(metrics.PRECISION, {(kind,): one.share for kind, one in self.kinds.items() if one.share is not None})
        most = sorted(self.rules.items(), key=lambda item: (-item[1].judged, item[0]))
        meter.say(metrics.RULE_JUDGED, {(rule,): one.judged for rule, one in most})
        meter.say(metrics.RULE_PRECISION, {(rule,): one.share for rule, one in most if one.share is not None})
