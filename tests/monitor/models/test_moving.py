"""How features move while models are asked: what is told is of the model in force, and of no other."""

import io

from made_models import add, file_of

from detectors.learned.detector import LearnedDetector
from detectors.learned.features import NAMES
from detectors.learned.model_file import opened
from monitor.models.moving import note_drift
from monitor.stores.models import ModelState
from monitor.telemetry import Telemetry
from monitor.testing import scratch_store


class Moved(LearnedDetector):
    """One that has looked at whole days already, and seen so much move."""

    by = 0.0

    @property
    def drift(self):
        return {digest: dict.fromkeys(NAMES, self.by) if self.by else {} for digest in super().drift}


def test_what_moved_since_the_training_of_a_former_model_is_told_no_more(tmp_path):
    store, telemetry = scratch_store(tmp_path), Telemetry(stream=io.StringIO())
    rows = [add(store, number, ModelState.ACTIVE) for number in (1, 2)]
    first, second = (Moved(opened(file_of(number), row.digest)[0]) for number, row in zip((1, 2), rows, strict=True))

    def told():
        return telemetry.registry.get_sample_value("miniwatch_model_drift_index", {"feature": NAMES[0]})

    first.by = 0.5
    note_drift(first, store, telemetry)
    assert told() == 0.5
    note_drift(second, store, telemetry)
    assert told() is None, "of another nothing is known before its first whole day"
    note_drift(first, store, telemetry)
    note_drift(None, store, telemetry)
    assert told() is None, "nor where none is asked"
    assert [row.story.drift != {} for row in sorted(store.models(), key=lambda row: row.number)] == [True, False]
    store.close()
