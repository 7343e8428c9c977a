"""What kind of thing a call does, by its name: what an app's mix of calls is counted in."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from detectors.catalogue import NAME_CHARACTERS_MAX, first_name
from detectors.sigma.distinct import distinct


class Kind(IntEnum):
    """Kinds of calls, each call of one."""

    OTHER = 0
    STORAGE = 1
    NETWORK = 2
    PAYMENT = 3
    LOGIN = 4
    SHARE = 5
    CLIPBOARD = 6
    LEAVING = 7  # for another app or a page of the web
    DEVICE = 8


_NAMES: Final = {
    Kind.NETWORK: "request downloadFile uploadFile connectSocket sendSocketMessage createTCPSocket createUDPSocket",
    Kind.PAYMENT: "requestPayment requestVirtualPayment requestPluginPayment requestOrderPayment requestCommonPayment "
    "requestMerchantTransfer jumpToOfflinePay payment.notify orderquery refund fulfil",
    Kind.LOGIN: "login pluginLogin checkSession code2Session",
    Kind.SHARE: "shareAppMessage onShareAppMessage onShareTimeline showShareMenu updateShareMenu shareToWeRun "
    "shareAppMessageToGroup shareFileMessage shareImageToGroup shareVideoMessage showShareImageMenu",
    Kind.CLIPBOARD: "setClipboardData getClipboardData",
    Kind.LEAVING: "navigateToMiniProgram openEmbeddedMiniProgram navigateBackMiniProgram openOfficialAccountProfile "
    "openChannelsUserProfile web-view launchApplicationDirectly",
    Kind.DEVICE: "getSystemInfo getSystemInfoSync getDeviceInfo createWorker onMemoryWarning onAccelerometerChange "
    "onGyroscopeChange vibrateShort vibrateLong getBatteryInfo getNetworkType scanCode",
}
_KINDS: Final = {name: kind for kind, names in _NAMES.items() for name in names.split()}


def kind_of_call(name: str) -> Kind:
    """The kind of a call, or of what is counted like one."""
    if len(name) > NAME_CHARACTERS_MAX:
        return Kind.OTHER
    first = first_name(name)
    known = _KINDS.get(name, _KINDS.get(first))
    if known is not None:
        return known
    return Kind.STORAGE if "Storage" in first or first == "getFileSystemManager" else Kind.OTHER


def kinds_of_calls(names: pl.Series) -> npt.NDArray[np.uint8]:
    """Of each row its kind; where no name is, it is another."""
    values, places = distinct(names)
    kinds = [kind_of_call(name) for name in values.to_list()]
    found: npt.NDArray[np.uint8] = np.array([*kinds, Kind.OTHER], np.uint8)[places]
    return found
