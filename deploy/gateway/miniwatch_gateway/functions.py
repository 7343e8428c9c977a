"""Functions of an app, as decisions name them, and the APIs that belong to each.

A target that is none of these is an API's own name. An API's first name stands for all calls chained to it.
"""

from __future__ import annotations

from typing import Final

PRIVACY: Final = {
    "location": (
        "getLocation",
        "getFuzzyLocation",
        "startLocationUpdate",
        "startLocationUpdateBackground",
        "onLocationChange",
        "getLocationManager",
        "chooseLocation",
        "choosePoi",
        "getWifiList",
        "getConnectedWifi",
    ),
    "microphone": ("getRecorderManager().start", "getRecorderManager().resume", "startRecord", "joinVoIPChat"),
    "camera": ("createCameraContext", "createVKSession().start"),
    "album": ("saveImageToPhotosAlbum", "saveVideoToPhotosAlbum", "chooseImage", "chooseMedia", "chooseVideo"),
    "file": ("chooseMessageFile",),
    "contact": ("addPhoneContact", "chooseContact"),
    "calendar": ("addPhoneCalendar", "addPhoneRepeatCalendar"),
    "bluetooth": ("openBluetoothAdapter", "createBLEPeripheralServer"),
    "steps": ("getWeRunData",),
    "profile": ("getUserInfo", "getUserProfile", "chooseAvatar"),
    "phone": ("getPhoneNumber", "getRealtimePhoneNumber"),
    "address": ("chooseAddress",),
    "invoice": ("chooseInvoice", "chooseInvoiceTitle"),
    "plate": ("chooseLicensePlate",),
    "clipboard": ("getClipboardData",),
}
"""APIs that touch people's data, by the kind of data."""

FUNCTIONS: Final = {
    **PRIVACY,
    "record": PRIVACY["microphone"],
    "navigate": ("navigateToMiniProgram", "openEmbeddedMiniProgram"),
    "privacy": tuple(api for apis in PRIVACY.values() for api in apis),
    "login": ("login", "pluginLogin", "code2Session"),
    "pay": (
        "requestPayment",
        "requestVirtualPayment",
        "requestPluginPayment",
        "requestCommonPayment",
        "requestOrderPayment",
        "requestMerchantTransfer",
        "createGlobalPayment",
    ),
    "share": (
        "onShareAppMessage",
        "onShareTimeline",
        "shareAppMessage",
        "shareAppMessageToGroup",
        "shareEmojiToGroup",
        "shareFileMessage",
        "shareFileToGroup",
        "shareImageToGroup",
        "shareToOfficialAccount",
        "shareToWeRun",
        "shareVideoMessage",
        "shareVideoToGroup",
        "showShareImageMenu",
        "showShareMenu",
    ),
    "upload": ("uploadFile",),
    "download": ("downloadFile",),
    "request": ("request",),
    "web-view": ("web-view",),
}


def first_name(api: str) -> str:
    """``getRecorderManager().start`` begins with ``getRecorderManager``."""
    return api.partition(".")[0].partition("(")[0]


def apis_of(target: str) -> tuple[str, ...]:
    """The APIs that a decision's target means."""
    plain = target.removeprefix("wx.")
    return FUNCTIONS.get(plain, (plain,))
