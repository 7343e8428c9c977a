"""What honest sessions do: scripts of steps for pages, and how often each kind of app plays each script.

In arguments, paths and messages ``#`` stands for a number drawn once for a page, so that the page, its request and the
server's access line speak of the same thing.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Step(NamedTuple):
    """One event of a script."""

    dataset: str  # without its "miniprogram."
    action: str
    gap_ms: int = 90  # median time since the step before
    api: bool = True  # the action is a call of that API
    phase: str | None = None
    handler: str | None = None
    args: str | None = None
    tap: bool = False
    chance: float = 1.0
    audience: str = "all"  # all, agreed or refused: people by their answer to the privacy guideline
    scope: str | None = None
    privacy: str | None = None  # kind of data it reads
    host: str | None = None  # which of the app's hosts a request goes to
    path: str | None = None
    method: str | None = None
    pay: str | None = None  # ask, cancel, notify, query or fulfil
    code: bool = False  # carries the login code
    message: str | None = None
    level: str | None = None
    resources: bool = False  # carries memory, processor and setData figures
    hidden: bool = False  # the app is in the background


def _call(api: str, args: str | None = None, dataset: str = "api", **more: object) -> Step:
    return Step(dataset, api, args=args, **more)  # type: ignore[arg-type]  # each name is a field of Step


def _tap(api: str, handler: str, args: str | None = None, dataset: str = "api", **more: object) -> Step:
    defaults: dict[str, object] = {"gap_ms": 2_200, "tap": True, "phase": "event", "handler": handler}
    return Step(dataset, api, args=args, **(defaults | more))  # type: ignore[arg-type]  # each name is a field of Step


def _fetch(
    path: str, method: str = "GET", host: str = "api", api: str = "request", phase: str = "onLoad", *, handler: str | None = None,
    gap_ms: int = 90, tap: bool = False, audience: str = "all",
) -> tuple[Step, ...]:  # fmt: skip
    """A request of the client and the access line that the server writes about it."""
    asked = Step(
        "network",
        api,
        gap_ms,
        phase=phase,
        handler=handler,
        tap=tap,
        audience=audience,
        host=host,
        path=path,
        method=method,
    )
    answered = Step("gateway", "access", 60, api=False, audience=audience, host=host, path=path, method=method)
    return (asked, answered)


def _open(page_gap_ms: int = 5_000, view: str = "Page.onLoad") -> tuple[Step, ...]:
    shown = Step("lifecycle", "Page.onShow", gap_ms=25, api=False, phase="onShow")
    return (Step("lifecycle", view, gap_ms=page_gap_ms, api=False, phase="onLoad"), shown)


_START: Final = (
    Step("lifecycle", "App.onLaunch", gap_ms=1, api=False, phase="onLaunch"),
    Step("lifecycle", "App.onShow", gap_ms=12, api=False, phase="onShow"),
    _call("getSystemInfoSync", phase="onLaunch", gap_ms=8),
    _call("getStorage", '{"key":"token","encrypt":true}', "storage", phase="onLaunch", gap_ms=6),
    Step("lifecycle", "getUpdateManager().onCheckForUpdate", api=False, phase="onLaunch", args='{"hasUpdate":false}', chance=0.35),
    Step("device", "environment", api=False, args='{"root":false,"emulator":false,"hook":false,"debugger":false}', chance=0.15, resources=True),
    Step("permission", "privacy.agree", 2_500, api=False, chance=0.12, audience="agreed", tap=True),
    Step("permission", "privacy.disagree", 2_500, api=False, chance=0.3, audience="refused", tap=True),
)  # fmt: skip

SCRIPTS: Final[dict[str, tuple[str, tuple[Step, ...]]]] = {
    "launch-new": (
        "pages/index/index",
        (
            *_START,
            _call("login", "{}", "auth", phase="onLaunch", code=True),
            *_fetch("/api/v1/session", "POST", phase="onLaunch"),
            Step("gateway", "code2Session", 40, api=False, code=True),
            _call("setStorage", '{"key":"token","data":"t#","encrypt":true}', "storage", phase="onLaunch"),
        ),
    ),
    "launch-known": (
        "pages/index/index",
        (*_START, _call("checkSession", "{}", "auth", phase="onLaunch"), *_fetch("/api/v1/config", phase="onLaunch")),
    ),
    "hide": (
        "pages/index/index",
        (Step("lifecycle", "App.onHide", 4_000, api=False, phase="onHide", hidden=True),),
    ),
    "home": (
        "pages/index/index",
        (
            *_open(),
            _call("showLoading", '{"title":"加载中"}', phase="onLoad"),
            *_fetch("/api/v1/home"),
            *_fetch("/banner/#.webp", host="cdn", api="downloadFile"),
            _call("hideLoading", phase="onLoad"),
            Step("log", "console.info", api=False, message="首页加载完成，用时 # 毫秒", level="info", chance=0.4),
        ),
    ),
    "list": (
        "pages/list/list",
        (*_open(), *_fetch("/api/v1/items?page=#"), _call("setStorageSync", '["lastList","#"]', "storage"), _tap("pageScrollTo", "onScroll", '{"scrollTop":#}')),
    ),
    "detail": (
        "pages/detail/detail",
        (
            _tap("navigateTo", "openItem", '{"url":"/pages/detail/detail?id=#"}', gap_ms=3_500),
            *_open(180),
            *_fetch("/api/v1/items/#"),
            _call("setNavigationBarTitle", '{"title":"商品详情"}', phase="onLoad"),
            _tap("previewImage", "onImageTap", '{"current":#}', chance=0.5),
            _call("createSelectorQuery", phase="onReady"),
            _tap("navigateBack", "onBack", '{"delta":1}', chance=0.6),
        ),
    ),
    "search": (
        "pages/search/search",
        (*_open(), _tap("getStorageSync", "onFocus", '["searchHistory"]', "storage"), *_fetch("/api/v1/search?q=%E6%98%A5%E8%A3%85#", phase="event", handler="onSearch"), _call("setStorageSync", '["searchHistory","春装#"]', "storage", phase="event", handler="onSearch")),
    ),
    "checkout": (
        "pages/pay/confirm",
        (
            *_open(),
            *_fetch("/api/v1/orders", "POST", phase="event", handler="onSubmit", gap_ms=2_500, tap=True),
            _tap("requestPayment", "onPay", '{"package":"prepay_id=wx#","signType":"RSA"}', "payment", pay="ask"),
            Step("payment", "payment.notify", 900, api=False, pay="notify"),
            Step("payment", "orderquery", 300, api=False, pay="query"),
            Step("payment", "fulfil", 400, api=False, pay="fulfil"),
            _call("showToast", '{"title":"支付成功"}', phase="event", handler="onPay"),
            _tap("requestSubscribeMessage", "onSubscribe", '{"tmplIds":["order-#"]}', chance=0.3),
        ),
    ),
    "checkout-cancelled": (
        "pages/pay/confirm",
        (*_open(), *_fetch("/api/v1/orders", "POST", phase="event", handler="onSubmit", gap_ms=2_500, tap=True), _tap("requestPayment", "onPay", '{"package":"prepay_id=wx#","signType":"RSA"}', "payment", pay="cancel"), _call("showModal", '{"title":"提示","content":"支付已取消"}', phase="event", handler="onPay")),
    ),
    "profile": (
        "pages/user/user",
        (
            *_open(),
            _tap("getUserProfile", "onAvatarTap", '{"desc":"用于完善会员资料"}', chance=0.3, audience="agreed", scope="scope.userInfo", privacy="nickname"),
            *_fetch("/api/v1/me"),
            Step("log", "console.log", api=False, message="已绑定手机 138******21，会员 #", level="debug", chance=0.25),
            _call("getStorage", '{"key":"profile","encrypt":true}', "storage", phase="onLoad"),
        ),
    ),
    "settings": (
        "pages/user/settings",
        (*_open(), _tap("openSetting", "onManage", "{}", "permission", chance=0.5), _call("getStorageInfoSync", None, "storage"), Step("platform", "user_info_modified", 900, api=False, chance=0.1), Step("platform", "user_authorization_revoke", 1_500, api=False, args='{"RevokeInfo":"6"}', audience="refused", chance=0.5), _tap("removeStorageSync", "onClear", '["searchHistory"]', "storage", chance=0.4)),
    ),
    "locate": (
        "pages/near/near",
        (
            *_open(),
            _call("getSetting", "{}", "permission", phase="onLoad"),
            _call("requirePrivacyAuthorize", "{}", "permission", phase="onLoad", audience="agreed"),
            _tap("authorize", "onLocate", '{"scope":"scope.userLocation"}', "permission", audience="agreed", scope="scope.userLocation", chance=0.5),
            _tap("getLocation", "onLocate", '{"type":"gcj02"}', "permission", gap_ms=300, audience="agreed", scope="scope.userLocation", privacy="location"),
            *_fetch("/api/v1/near?city=#", phase="event", handler="onLocate"),
            _tap("openLocation", "onShop", '{"name":"门店#"}', chance=0.3),
        ),
    ),
    "photo": (
        "pages/post/post",
        (*_open(), _tap("chooseImage", "onPick", '{"count":3,"sourceType":["album","camera"]}', "permission", audience="agreed", privacy="album"), *_fetch("/upload/#", "POST", "upload", "uploadFile", "event", handler="onPick", gap_ms=4_000, audience="agreed"), Step("gateway", "msg_sec_check", 80, api=False, audience="agreed"), _call("showToast", '{"title":"发布成功"}', phase="event", handler="onPick")),
    ),
    "share": (
        "pages/detail/detail",
        (*_open(), *_fetch("/api/v1/items/#"), _tap("showShareMenu", "onMore", '{"withShareTicket":true}'), Step("lifecycle", "onShareAppMessage", 1_200, api=False, phase="event", handler="onShare", tap=True)),
    ),
    "copy": (
        "pages/order/order",
        (*_open(), *_fetch("/api/v1/orders/#"), _tap("setClipboardData", "onCopy", '{"data":"订单号 #"}'), _call("showToast", '{"title":"已复制"}', phase="event", handler="onCopy")),
    ),
    "article": (
        "pages/article/article",
        (*_open(9_000), *_fetch("/api/v1/articles/#"), *_fetch("/img/#.webp", host="cdn", api="downloadFile"), _call("reportEvent", '{"eventId":"read","data":{"article":#}}'), Step("network", "web-view", 3_000, api=False, host="www", path="/a/#", method="GET", chance=0.15)),
    ),
    "video": (
        "pages/video/video",
        (*_open(), _call("createVideoContext", '["player"]', phase="onReady"), *_fetch("/api/v1/videos/#"), _tap("createVideoContext().play", "onPlay"), _call("getNetworkType", "{}", gap_ms=15_000)),
    ),
    "play": (
        "pages/game/game",
        (*_open(2_000), _call("createInnerAudioContext", phase="onReady"), _tap("setStorageSync", "onLevel", '["level","#"]', "storage", gap_ms=9_000), *_fetch("/api/v1/score", "POST", phase="event", handler="onLevel"), _tap("vibrateShort", "onHit", '{"type":"light"}'), Step("device", "onMemoryWarning", 2_000, api=False, args='{"level":5}', chance=0.01, resources=True)),
    ),
    "scan": (
        "pages/scan/scan",
        (*_open(), _tap("scanCode", "onScan", '{"onlyFromCamera":true}'), *_fetch("/api/v1/codes/#", phase="event", handler="onScan"), _call("showModal", '{"title":"扫码结果","content":"编号 #"}', phase="event", handler="onScan")),
    ),
    "tool": (
        "pages/tool/tool",
        (*_open(), _call("getStorageSync", '["draft"]', "storage"), _tap("getFileSystemManager().writeFile", "onSave", '{"filePath":"wxfile://usr/draft-#.txt"}', "storage"), _call("canvasToTempFilePath", '{"canvasId":"board"}', phase="event", handler="onSave"), _tap("saveImageToPhotosAlbum", "onExport", '{"filePath":"wxfile://tmp_#.png"}', "permission", scope="scope.writePhotosAlbum", audience="agreed", privacy="album", chance=0.4)),
    ),
    "form": (
        "pages/form/form",
        (*_open(12_000), _call("setStorage", '{"key":"form-#","data":"草稿","encrypt":true}', "storage"), _tap("chooseAddress", "onAddress", "{}", "permission", audience="agreed", privacy="address", chance=0.4), *_fetch("/api/v1/forms", "POST", phase="event", handler="onSubmit", gap_ms=8_000, tap=True), Step("log", "realtime.info", api=False, message="表单 # 已提交", level="info", chance=0.5)),
    ),
    "voice": (
        "pages/ask/ask",
        (*_open(), _tap("authorize", "onSpeak", '{"scope":"scope.record"}', "permission", audience="agreed", scope="scope.record", chance=0.4), _tap("getRecorderManager().start", "onSpeak", '{"duration":15000}', "permission", audience="agreed", scope="scope.record", privacy="voice"), _tap("getRecorderManager().stop", "onSpeakEnd", None, gap_ms=6_000, audience="agreed"), *_fetch("/upload/voice/#", "POST", "upload", "uploadFile", "event", handler="onSpeakEnd", audience="agreed")),
    ),
    "steps": (
        "pages/sport/sport",
        (*_open(), _tap("getWeRunData", "onSync", "{}", "permission", audience="agreed", scope="scope.werun", privacy="steps"), *_fetch("/api/v1/steps", "POST", phase="event", handler="onSync")),
    ),
    "partner": (
        "pages/index/index",
        (*_open(), _tap("navigateToMiniProgram", "onPartner", None)),
    ),
    "retry": (
        "pages/list/list",
        (*_open(), *(step for _ in range(4) for step in _fetch("/api/v1/items?page=#", gap_ms=1_500)), Step("log", "console.warn", api=False, message="请求超时，正在重试（第 # 次）", level="warn")),
    ),
    "refresh": (
        "pages/feed/feed",
        (*_open(), _call("getWindowInfo", phase="onLoad"), *_fetch("/api/v2/feed?cursor=#"), _tap("startPullDownRefresh", "onPull", "{}"), *_fetch("/api/v2/feed?cursor=0#", phase="event", handler="onPull"), _call("stopPullDownRefresh", phase="event", handler="onPull")),
    ),
}  # fmt: skip

MIXES: Final[dict[str, dict[str, float]]] = {
    "shop": {"home": 5, "list": 6, "detail": 9, "search": 3, "checkout": 1.2, "checkout-cancelled": 0.4, "profile": 1, "settings": 0.3, "share": 0.6, "copy": 0.4, "form": 0.4, "locate": 0.5, "partner": 0.15},
    "tools": {"home": 3, "tool": 7, "scan": 3, "settings": 0.6, "share": 0.3, "copy": 1.0, "profile": 0.5},
    "game": {"home": 2, "play": 12, "share": 1.0, "profile": 0.6, "video": 0.5, "checkout": 0.2, "settings": 0.2},
    "finance": {"home": 5, "list": 4, "detail": 3, "form": 2, "profile": 2, "settings": 0.6, "checkout": 0.5, "checkout-cancelled": 0.1},
    "medical": {"home": 4, "list": 3, "detail": 3, "form": 3, "locate": 1.2, "voice": 0.8, "profile": 1, "settings": 0.3, "checkout": 0.5, "steps": 0.3},
    "government": {"home": 4, "form": 4, "list": 3, "article": 3, "profile": 1, "settings": 0.3, "locate": 0.6, "scan": 0.5},
    "social": {"home": 4, "list": 3, "photo": 3, "article": 3, "share": 1.2, "profile": 2, "settings": 0.4, "video": 2, "steps": 0.5, "voice": 0.5},
    "media": {"home": 3, "article": 8, "video": 5, "search": 2, "share": 1, "profile": 0.5, "settings": 0.2, "partner": 0.1},
}  # fmt: skip
"""Weight of each page's script, by category."""

BUGGY_MIX: Final[dict[str, float]] = {"home": 2, "retry": 6, "tool": 4}
"""Of one honest app whose requests are repeated too often."""

DEPLOYED_MIX: Final[dict[str, float]] = {"refresh": 6, "detail": 4}
"""Added to an app's mix when its new version came out with a new page."""
