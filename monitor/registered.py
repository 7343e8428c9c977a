"""The registry of apps as operators have imported it, while the daemon runs."""

from __future__ import annotations

from collections.abc import Callable

from detectors.finding import Entity, Scope
from monitor.registry import Registry
from monitor.stores.sql import SqlStore
from monitor.telemetry import Telemetry, upkeep


class Registered:
    """The registry as it stands; read again when operators have imported apps."""

    def __init__(self, store: SqlStore, telemetry: Telemetry, clock: Callable[[], int]) -> None:
        self._store = store
        self._telemetry = telemetry
        self._clock = clock
        self._version = -1
        self._protected: frozenset[Entity] = frozenset()
        self._owners: frozenset[Entity] = frozenset()
        self._registry = Registry(())
        self.refresh()

    def __call__(self) -> Registry:
        return self._registry

    def protected(self) -> frozenset[Entity]:
        """Apps that nobody acts on by machine, as the record says now."""
        self.refresh()
        return self._protected

    def released(self, app: str, at: int) -> str | None:
        """The version of an app that is released at a time."""
        return self._registry.released(app, at)

    def owners_of_protected(self) -> frozenset[Entity]:
        """Developers of such apps; what is done to them would meet the apps."""
        self.refresh()
        return self._owners

    def refresh(self) -> None:
        """Take up what was imported since; the present registry stays in use until the new one is whole."""
        version = self._store.apps_version()
        if version == self._version:
            return
        registry, now = Registry(list(self._store.apps())), self._clock()
        self._protected = frozenset(Entity(Scope.APP, app) for app in registry.protected(now))
        self._owners = frozenset(Entity(Scope.DEVELOPER, owner) for owner in registry.owners_of_protected(now))
        self._registry, self._version = registry, version
        self._telemetry.emit(upkeep.RegistryLoaded(apps=len(registry)))
