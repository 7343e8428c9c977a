"""Which behaviour of the taxonomy an unusual number of something speaks of, where what is counted says so."""

from __future__ import annotations

from typing import Final

COVERT_CAPTURE: Final = 2
SHARING: Final = 7
LOGIN: Final = 8

CALLS: Final = {
    name: behaviour
    for behaviour, names in {
        1: "chooseAddress chooseContact chooseInvoice getUserInfo getUserProfile getWeRunData getPhoneNumber "
        "chooseLicensePlate addPhoneContact addPhoneCalendar addPhoneRepeatCalendar saveImageToPhotosAlbum saveVideoToPhotosAlbum "
        "chooseMessageFile chooseAvatar chooseInvoiceTitle getRealtimePhoneNumber openBluetoothAdapter createBLEPeripheralServer",
        2: "getLocation getFuzzyLocation startLocationUpdate startLocationUpdateBackground onLocationChange "
        "getRecorderManager startRecord createCameraContext chooseImage chooseMedia chooseVideo startWifi getWifiList getConnectedWifi "
        "getLocationManager chooseLocation choosePoi joinVoIPChat createVKSession",
        7: "shareAppMessage onShareAppMessage onShareTimeline showShareMenu updateShareMenu shareToWeRun",
        8: "login checkSession code2Session",
        12: "requestPayment requestVirtualPayment payment.notify refund",
        16: "getFileSystemManager",
        21: "setData onMemoryWarning createWorker",
        23: "navigateToMiniProgram openEmbeddedMiniProgram",
        24: "setClipboardData getClipboardData",
        26: "clear_quota",
    }.items()
    for name in names.split()
}
"""First names of calls and actions."""

SHARED_SCENES: Final = frozenset({"1007", "1008", "1036", "1044", "1154", "1155"})
"""Ways in that somebody else's share has opened."""


def behaviour_of(what: str, measure: str) -> int | None:
    """The behaviour, if what is counted (an API, a scene) is one's sign."""
    if measure == "entries":
        return SHARING if what in SHARED_SCENES else None
    if measure != "calls":
        return None
    first = what.removeprefix("wx.").partition("().")[0]
    return CALLS.get(first, CALLS.get(what))
