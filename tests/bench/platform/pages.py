"""What people do in mini programs, as pages: each shows, calls and asks for something, one event a line.

A line reads `dataset action` and then, in any order: `~N` the usual milliseconds since the line before, `%P` how likely the
line is, `@label` the host, `/path` with `#` for a number, `:phase`, `scope.name`, and flags. `human` waits for a person,
`tap` follows one's tap, `server` is told by a server, `nobody` by a server that knows no person, `resources` carries memory
and setData. `own`, `others` and `public` name a resource and whose it is.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl

HOSTS = ("api", "cdn", "upload", "www", "more", "map", "count")
"""An app's own hosts, the one that a deploy may add, and two that are shared with others."""
OURS = ("api", "upload", "www", "more")
"""Hosts whose servers write a line of their own about each request."""

PAGES = {
    "launch": """
        lifecycle App.onLaunch ~1 :onLaunch
        lifecycle App.onShow ~12 :onShow
        api getSystemInfoSync ~8 :onLaunch %0.7
        storage getStorageSync ~6 :onLaunch
        auth checkSession ~20 :onLaunch %0.6
        device environment ~9 :onLaunch %0.1 resources
        network request @api /v1/config :onLaunch""",
    "launch-login": """
        lifecycle App.onLaunch ~1 :onLaunch
        lifecycle App.onShow ~12 :onShow
        api getSystemInfoSync ~8 :onLaunch
        auth login ~60 :onLaunch
        network request @api /v1/session POST :onLaunch
        gateway code2Session ~50 server login
        storage setStorage ~8 :onLaunch
        device environment ~9 :onLaunch %0.15 resources""",
    "launch-first": """
        lifecycle App.onLaunch ~1 :onLaunch
        lifecycle App.onShow ~12 :onShow
        api getSystemInfoSync ~8 :onLaunch
        permission getPrivacySetting ~9 :onLaunch %0.8
        permission privacy.agree ~2600 :event tap %0.8
        auth login ~60 :onLaunch
        network request @api /v1/session POST :onLaunch
        gateway code2Session ~50 server login
        storage setStorage ~8 :onLaunch""",
    "resume": "lifecycle App.onShow ~1 :onShow",
    "hide": "lifecycle App.onHide ~4000 :onHide resources",
    "home": """
        lifecycle Page.onLoad human :onLoad
        lifecycle Page.onShow ~25 :onShow
        api showLoading ~15 :onLoad %0.5
        network request @api /v1/home :onLoad
        network downloadFile @cdn /banner/#.webp :onLoad %0.6
        api hideLoading ~5 :onLoad %0.5
        network request @count /c POST :onReady %0.35
        log console.info ~30 %0.1""",
    "list": """
        lifecycle Page.onLoad human :onLoad
        lifecycle Page.onShow ~25 :onShow
        network request @api /v1/items?page=# :onLoad
        api pageScrollTo ~2400 :event tap
        network request @api /v1/items?page=# :event %0.5""",
    "detail": """
        api navigateTo human tap :event
        lifecycle Page.onLoad ~180 :onLoad
        lifecycle Page.onShow ~25 :onShow
        network request @api /v1/items/# :onLoad public
        api setNavigationBarTitle ~9 :onLoad %0.6
        api previewImage ~3500 tap :event %0.4
        api createSelectorQuery ~11 :onReady %0.5""",
    "search": """
        lifecycle Page.onLoad human :onLoad
        storage getStorageSync ~900 tap :event
        network request @api /v1/search ~4000 :event
        storage setStorageSync ~6 :event""",
    "checkout": """
        lifecycle Page.onLoad human :onLoad
        lifecycle Page.onShow ~25 :onShow
        network request @api /v1/orders POST ~2500 tap :event own
        payment requestPayment ~1800 tap :event ask
        payment payment.notify ~900 server paid
        payment orderquery ~300 server paid
        payment fulfil ~400 server paid %0.7
        api showToast ~60 :event
        api requestSubscribeMessage ~1500 tap :event %0.25""",
    "till": """
        network request @api /v1/till/orders POST human tap :event own
        payment requestPayment ~2500 tap :event ask
        payment payment.notify ~700 server paid
        payment fulfil ~300 server paid""",
    "order": """
        lifecycle Page.onLoad human :onLoad
        lifecycle Page.onShow ~25 :onShow
        network request @api /v1/orders/# :onLoad own
        api setClipboardData ~4000 tap :event %0.08""",
    "profile": """
        lifecycle Page.onLoad human :onLoad
        lifecycle Page.onShow ~25 :onShow
        network request @api /v1/me :onLoad own
        permission getUserProfile ~1500 tap :event %0.15 scope.userInfo
        storage getStorage ~9 :onLoad""",
    "settings": """
        lifecycle Page.onLoad human :onLoad
        permission openSetting ~2500 tap :event %0.4
        permission getSetting ~30 :onLoad
        storage removeStorageSync ~3000 tap :event %0.3""",
    "locate": """
        lifecycle Page.onLoad human :onLoad
        permission getSetting ~30 :onLoad
        permission authorize ~900 tap :event %0.4 scope.userLocation
        permission getLocation ~300 tap :event scope.userLocation
        network request @map /geocode/# :event
        network request @api /v1/near?city=# :event
        api openLocation ~5000 tap :event %0.2""",
    "city": """
        permission getFuzzyLocation ~400 :onLoad scope.userFuzzyLocation
        network request @api /v1/city/# :onLoad""",
    "photo": """
        lifecycle Page.onLoad human :onLoad
        permission chooseMedia ~2500 tap :event
        network uploadFile @upload /p/# POST ~4500 tap :event
        gateway msg_sec_check ~80 server
        api showToast ~400 :event""",
    "save": "permission saveImageToPhotosAlbum human tap :event scope.writePhotosAlbum",
    "voice": """
        permission authorize human tap :event %0.3 scope.record
        permission getRecorderManager().start ~600 tap :event scope.record
        permission getRecorderManager().stop ~6000 tap :event
        network uploadFile @upload /voice/# POST ~300 :event""",
    "camera": """
        lifecycle Page.onLoad human :onLoad
        permission createCameraContext ~200 :onReady scope.camera
        network uploadFile @upload /c/# POST ~6000 tap :event""",
    "share": """
        api showShareMenu ~900 tap :event
        lifecycle onShareAppMessage ~1300 tap :event""",
    "paste": """
        api getClipboardData ~700 :onShow
        network request @api /v1/paste/# :event %0.6""",
    "copy": "api setClipboardData human tap :event",
    "article": """
        lifecycle Page.onLoad human :onLoad
        lifecycle Page.onShow ~25 :onShow
        network request @api /v1/articles/# :onLoad public
        network downloadFile @cdn /img/#.webp :onLoad
        network request @count /read POST ~9000 :event %0.5
        network web-view @www /a/# ~3000 %0.06""",
    "video": """
        lifecycle Page.onLoad human :onLoad
        api createVideoContext ~40 :onReady
        network request @api /v1/videos/# :onLoad public
        network downloadFile @cdn /v/#.mp4 ~300 :onReady
        api createVideoContext().play ~1200 tap :event""",
    "play": """
        lifecycle Page.onShow human :onShow resources
        api createInnerAudioContext ~30 :onReady %0.4
        storage setStorageSync ~9000 tap :event
        network request @api /v1/score POST ~30 :event
        api vibrateShort ~4000 tap :event %0.6
        device onMemoryWarning ~900 %0.01 resources""",
    "scan": """
        api scanCode human tap :event
        network request @api /v1/codes/# ~300 :event
        api showModal ~30 :event""",
    "tool": """
        lifecycle Page.onLoad human :onLoad resources
        storage getStorageSync ~20 :onLoad
        storage getFileSystemManager().writeFile ~4000 tap :event
        api canvasToTempFilePath ~60 :event %0.5""",
    "form": """
        lifecycle Page.onLoad human :onLoad
        storage setStorage ~9000 :event
        permission chooseAddress ~4000 tap :event %0.25 scope.address
        network request @api /v1/forms POST ~8000 tap :event own
        log realtime.info ~20 %0.4""",
    "steps": """
        lifecycle Page.onLoad human :onLoad
        permission getWeRunData ~900 tap :event scope.werun
        network request @api /v1/steps POST :event""",
    "device": """
        lifecycle Page.onLoad human :onLoad
        permission openBluetoothAdapter ~700 tap :event scope.bluetooth
        api startBluetoothDevicesDiscovery ~60 :event
        network request @api /v1/devices/# ~4000 :event own""",
    "track": """
        permission startLocationUpdate human tap :event scope.userLocation
        network request @api /v1/track POST ~8000 :event
        network request @api /v1/track POST ~15000 :event %0.6""",
    "partner": "api navigateToMiniProgram human tap :event",
    "chat": """
        lifecycle Page.onLoad human :onLoad
        network connectSocket @api /ws ~60 :onLoad
        network request @api /v1/messages/# ~4000 tap :event own
        gateway msg_sec_check ~60 server %0.7""",
    "feed": """
        lifecycle Page.onLoad human :onLoad
        lifecycle Page.onShow ~25 :onShow
        network request @more /v2/feed?cursor=# :onLoad
        api startPullDownRefresh ~5000 tap :event %0.5
        network request @more /v2/feed?cursor=# :event %0.5
        api stopPullDownRefresh ~9 :event %0.5""",
    "feed-old": """
        lifecycle Page.onLoad human :onLoad
        lifecycle Page.onShow ~25 :onShow
        network request @api /v2/feed?cursor=# :onLoad
        api startPullDownRefresh ~5000 tap :event %0.5""",
    # What machines of the apps themselves do, and people at work in them.
    "health": "gateway access @api /health nobody",
    "batch": "gateway subscribeMessage.send nobody",
    "clerk": "gateway access @api /v1/admin/orders/# server others",
    "panel": """
        lifecycle Page.onShow ~1 :onShow
        network request @api /v1/board ~30 :onShow""",
}  # fmt: skip

RARE = [
    "vibrateLong",
    "getBatteryInfo",
    "startCompass",
    "startGyroscope",
    "setScreenBrightness",
    "setKeepScreenOn",
    "getNetworkType",
    "makePhoneCall",
    "openDocument",
    "createAnimation",
    "createIntersectionObserver",
    "setTabBarBadge",
    "getBackgroundAudioManager",
    "chooseInvoiceTitle",
    "openCustomerServiceChat",
    "createRewardedVideoAd",
    "createInterstitialAd",
    "reportEvent",
    "getAccountInfoSync",
    "createOffscreenCanvas",
    "compressImage",
    "getImageInfo",
    "startBeaconDiscovery",
    "startAccelerometer",
    "getGroupEnterInfo",
    "shareFileMessage",
    "getRandomValues",
    "checkIsSupportSoterAuthentication",
    "startWifi",
    "getLaunchOptionsSync",
]
"""APIs of which each app has a few of its own."""

MIXES = {
    "shop": {"home": 5, "list": 6, "detail": 9, "search": 3, "checkout": 1.0, "order": 1.5, "profile": 1, "share": 0.5, "copy": 0.3, "city": 0.4, "chat": 0.5, "settings": 0.2, "photo": 0.3, "partner": 0.1, "paste": 0.15},
    "catering": {"home": 4, "list": 5, "detail": 4, "checkout": 2, "order": 2, "locate": 1.2, "scan": 1.5, "profile": 0.6, "share": 0.2, "form": 0.3},
    "tools": {"home": 3, "tool": 7, "scan": 2, "save": 0.8, "copy": 0.9, "paste": 0.6, "profile": 0.4, "settings": 0.5, "share": 0.3, "device": 0.3},
    "game": {"home": 2, "play": 12, "share": 0.9, "profile": 0.5, "video": 0.4, "checkout": 0.2, "settings": 0.2, "chat": 0.2},
    "finance": {"home": 5, "list": 3, "detail": 3, "form": 1.6, "profile": 2, "order": 1.5, "settings": 0.5, "checkout": 0.3, "camera": 0.2, "city": 0.2},
    "medical": {"home": 4, "list": 3, "detail": 3, "form": 2.5, "order": 1.5, "locate": 0.7, "voice": 0.5, "checkout": 0.5, "steps": 0.3, "profile": 1},
    "government": {"home": 4, "form": 3.5, "list": 3, "article": 2.5, "scan": 0.8, "locate": 0.5, "order": 1, "camera": 0.3, "profile": 1},
    "social": {"home": 3, "feed-old": 5, "photo": 1.5, "article": 2, "share": 1.0, "chat": 3, "profile": 2, "video": 1.5, "voice": 0.5, "steps": 0.3, "city": 0.3},
    "media": {"home": 3, "article": 8, "video": 5, "search": 1.5, "share": 0.8, "profile": 0.4, "settings": 0.15, "partner": 0.15, "city": 0.2},
    "travel": {"home": 4, "search": 4, "list": 4, "detail": 4, "locate": 2, "track": 0.8, "checkout": 0.8, "order": 2, "profile": 0.6, "scan": 1},
    "education": {"home": 3, "video": 5, "article": 4, "form": 1.5, "voice": 1, "photo": 0.6, "share": 0.4, "profile": 0.8, "steps": 0.1},
    "office": {"home": 4, "form": 3, "list": 3, "detail": 2, "chat": 2, "photo": 0.5, "locate": 1.0, "scan": 0.6, "order": 1, "settings": 0.2},
}  # fmt: skip
"""How much of an app's pages are which, by category; every app varies it in its own way."""


class Step(NamedTuple):
    """One event of a page."""

    dataset: str
    action: str
    gap_ms: float = 90.0
    chance: float = 1.0
    human: bool = False
    tap: bool = False
    server: bool = False
    nobody: bool = False
    resources: bool = False
    login: bool = False
    ask: bool = False
    paid: bool = False
    answered: bool = False  # the line of a server about the request before it
    host: int = -1
    path: str | None = None
    post: bool = False
    phase: str | None = None
    scope: str | None = None
    whose: str | None = None  # own, others or public: the resource that it is about

    @property
    def called(self):
        """Whether the action is a call of that API."""
        if self.dataset in ("api", "storage", "auth"):
            return True
        plain = {"web-view", "privacy.agree", "payment.notify", "orderquery", "fulfil"}
        return self.dataset in ("network", "permission", "payment") and self.action not in plain


def _step(line):
    dataset, action, *words = line.split()
    found: dict[str, object] = {}
    for word in words:
        match word[0]:
            case "~":
                found["gap_ms"] = float(word[1:])
            case "%":
                found["chance"] = float(word[1:])
            case "@":
                found["host"] = HOSTS.index(word[1:])
            case "/":
                found["path"] = word
            case ":":
                found["phase"] = word[1:]
            case _ if word.startswith("scope."):
                found["scope"] = word
            case _ if word in ("own", "others", "public"):
                found["whose"] = word
            case _:
                found["post" if word == "POST" else word] = True
    if found.get("nobody"):
        found["server"] = True
    return Step(dataset, action, **found)  # type: ignore[arg-type]  # each word is a field


def _steps(text):
    for line in text.strip().splitlines():
        step = _step(line)
        yield step
        if step.dataset == "network" and step.host >= 0 and HOSTS[step.host] in OURS and step.action != "web-view":
            yield Step("gateway", "access", 60.0, server=True, answered=True, host=step.host, path=step.path, post=step.post, whose=step.whose)  # fmt: skip


class Table:
    """All steps of all pages, one a row, and where each page begins."""

    def __init__(self):
        pages = PAGES | {f"rare {api}": f"api {api} human tap :event" for api in RARE}
        told = [list(_steps(text)) for text in pages.values()]
        self.names = tuple(pages)
        self.steps = [step for steps in told for step in steps]
        self.page = np.repeat(np.arange(len(told)), [len(steps) for steps in told])
        self.lengths = np.array([len(steps) for steps in told])
        self.begins = np.concatenate([[0], np.cumsum(self.lengths)[:-1]])
        self.gap_ms = np.array([step.gap_ms for step in self.steps])
        self.chance = np.array([step.chance for step in self.steps])
        self.host = np.array([step.host for step in self.steps])
        self.flags = {
            name: np.array([bool(getattr(step, name)) for step in self.steps])
            for name in ("human", "tap", "server", "nobody", "resources", "login", "ask", "paid", "answered", "scope")
        }
        self.network = np.array([step.dataset == "network" and step.action != "web-view" for step in self.steps])
        self.called = np.array([step.called for step in self.steps])
        self.action = np.array([step.action for step in self.steps])
        self.frame = self._frame()

    def page_named(self, name):
        return self.names.index(name)

    def _frame(self):
        """The columns that a step settles."""
        paths = [(step.path or "").partition("?")[0].partition("#") for step in self.steps]
        return pl.DataFrame(
            {
                "event.dataset": [f"miniprogram.{step.dataset}" for step in self.steps],
                "event.action": [step.action for step in self.steps],
                "miniprogram.api": [step.action if step.called else None for step in self.steps],
                "miniprogram.phase": [step.phase for step in self.steps],
                "miniprogram.scope": [step.scope for step in self.steps],
                "http.request.method": [
                    ("POST" if step.post else "GET") if step.host >= 0 else None for step in self.steps
                ],
                "_page": [self.names[page] for page in self.page],
                "_head": [head or None for head, _, _ in paths],
                "_tail": [tail if hole else None for _, hole, tail in paths],
                "_whose": [step.whose for step in self.steps],
                "_level": [
                    step.action.rpartition(".")[2] if step.dataset == "log" else None for step in self.steps
                ],
            }
        )  # fmt: skip
