"""Lines with secrets, lines that only look like it, and pieces to make such lines of."""

import json

from hypothesis import strategies as st

from monitor.door.telltales import WORDS

SECRET = "Zx9Kq7Lm3Np5Rt2Vw8"
OPENID = "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"
HEXADECIMAL = "d4624c36b6795d1d99dcf0547af5443d"


def line_of(text="", **fields):
    return json.dumps({"message": text, **fields}, ensure_ascii=False, separators=(",", ":"))


def body(**fields):
    return line_of(json.dumps(fields, ensure_ascii=False))


PEM = "-----BEGIN RSA PRIVATE KEY-----"
GONE = {
    "sub_openid": (body(sub_openid=OPENID), OPENID),
    "sp_openid in a query": (line_of(f"https://a.example/c?sp_openid={OPENID}"), OPENID),
    "toOpenId": (body(toOpenId=OPENID), OPENID),
    "touser": (body(touser=OPENID), OPENID),
    "refresh_token": (body(refresh_token=SECRET), SECRET),
    "id_token": (line_of(f"https://a.example/c?id_token={SECRET}"), SECRET),
    "client_secret": (line_of(f"https://a.example/c?client_secret={SECRET}&x=1"), SECRET),
    "component_access_token": (line_of(f"https://a.example/c?component_access_token={SECRET}"), SECRET),
    "authorizer_access_token": (body(authorizer_access_token=SECRET), SECRET),
    "sessionid": (body(sessionid=SECRET), SECRET),
    "JSESSIONID": (line_of(f"JSESSIONID={SECRET}"), SECRET),
    "a header that ends in token": (line_of(headers={"x-token": SECRET}), SECRET),
    "a cookie": (line_of(headers={"cookie": f"theme=dark; sid={SECRET}"}), SECRET),
    "a cookie in prose": (line_of(f"Set-Cookie: theme=dark; sid={SECRET}\r\nHost: a"), SECRET),
    "basic authorization": (line_of(headers={"authorization": "Basic dXNlcjpwYXNz"}), "dXNlcjpwYXNz"),
    "basic authorization in prose": (line_of("Authorization: Basic dXNlcjpwYXNz"), "dXNlcjpwYXNz"),
    "a password of words": (body(password="correct horse battery"), "horse"),
    "a password with marks": (body(password="ab&SECRET?x"), "SECRET"),
    "a password in Chinese": (body(password="密码SECRET"), "SECRET"),
    "a password in brackets": (body(password="(SECRET)"), "SECRET"),
    "a password with quotes": (body(password='a"b\\"SECRET'), "SECRET"),
    "a password with quotes, plain": (line_of(password='a"b\\"SECRET'), "SECRET"),
    "a password that is a number": (line_of(password=90210777), "90210777"),
    "a password between single quotes": (line_of("{'password': 'correct horse'}"), "horse"),
    "a phone after +86": (line_of("call +8613812345678 now"), "13812345678"),
    "a phone after 0086": (line_of("call 008613812345678 now"), "13812345678"),
    "a phone in parts after +86": (line_of("call +86 138-1234-5678 now"), "1234-5678"),
    "phones side by side": (line_of(all=[13812345678, 13912345678, 13712345678]), "13912345678"),
    "an ID number with a small x": (line_of("id 11010519491231002x"), "11010519491231002"),
    "a nested code": (line_of(x={"code": "081Kq7Lm3Np5Rt2Vw8"}), "081Kq7Lm3Np5Rt2Vw8"),
    "a code in JSON text": (body(code="081Kq7Lm3Np5Rt2Vw8"), "081Kq7Lm3Np5Rt2Vw8"),
    "a session": (line_of(d={"session": SECRET}), SECRET),
    "a session after a blank": (json.dumps({"d": {"session": SECRET}}), SECRET),
    "a session in prose": (line_of(f"session: {SECRET}"), SECRET),
    "percent-encoded JSON": (line_of(f"https://a.example/c?x=%22session_key%22%3A%22{SECRET}%22"), SECRET),
    "JSON in JSON in JSON": (body(data=json.dumps({"session_key": SECRET})), SECRET),
    "a secret after a tab": (line_of(f"secret:\t{SECRET}"), SECRET),
    "an address with a password": (line_of("mysql://root:hunter22@db.example/shop"), "hunter22"),
    "a private key": (line_of(f"{PEM}\nMIIabc\n-----END RSA PRIVATE KEY-----"), "MIIabc"),
    "a private key that is cut": (line_of(f"{PEM}\nMIIabc"), "MIIabc"),
    "a private key of Windows": (line_of(f"{PEM}\r\nMIIabc\r\n-----END RSA PRIVATE KEY-----"), "MIIabc"),
    "an encrypted private key": (line_of(f"{PEM}\nProc-Type: 4,ENCRYPTED\n\nMIIabc"), "MIIabc"),
    "a secret of the shape of a hash": (line_of(f"https://a.example/token?secret={HEXADECIMAL}"), HEXADECIMAL),
    "a password of the shape of a hash": (body(password=HEXADECIMAL), HEXADECIMAL),
    "a code of the shape of a hash": (line_of(x={"code": HEXADECIMAL}), HEXADECIMAL),
    "a code of the shape of a hash, and longer": (line_of(x={"code": HEXADECIMAL + "SECRET"}), "SECRET"),
    "a code behind its scheme": (line_of(x={"code": "Bearer abcdef0123456789"}), "abcdef0123456789"),
    "a code behind its scheme in a query": (line_of("/?code=Bearer abcdef0123456789"), "abcdef0123456789"),
    "a code with many slashes": (line_of(x={"code": "/" * 13 + SECRET}).replace("//", r"\/\/"), SECRET),
    "XML": (line_of(f"<xml><openid>{OPENID}</openid></xml>"), OPENID),
    "XML with CDATA": (line_of(f"<xml><openid><![CDATA[{OPENID}]]></openid></xml>"), OPENID),
    "XML, the end of a longer name": (line_of(f"<p:sub_openid><![CDATA[{OPENID}]]></p:sub_openid>"), OPENID),
    "XML with a session key": (line_of("<session_key>tiihtNczf5v6AKRyjwEUhQ==</session_key>"), "tiihtNczf5v6AK"),
    "XML with a cookie": (line_of(f"<cookie>sid={SECRET}</cookie>"), SECRET),
    "XML with a code": (line_of("<code>081Kq7Lm3Np5Rt2Vw8</code>"), "081Kq7Lm3Np5Rt2Vw8"),
    "XML with a session": (line_of(f"<session> <![CDATA[ {SECRET} ]]> </session>"), SECRET),
    "XML with lines": (line_of(f"<code>\n  {SECRET}\n</code>"), SECRET),
    "XML with a password of marks": (line_of("<password><![CDATA[a<b]c]]d SECRET]]></password>"), "SECRET"),
    "XML in JSON": (body(xml=f"<openid>{OPENID}</openid>"), OPENID),
    "XML in JSON of Go": (
        line_of(f"<openid>{OPENID}</openid>").replace("<", "\\u003c").replace(">", "\\u003e"),
        OPENID,
    ),
    "XML with letters in Chinese": (json.dumps({"message": "<password>密码SECRET</password>"}), "SECRET"),
    "a list of openids": (line_of(openid=[OPENID]), OPENID),
    "the second of a list": (line_of(openid=["none", OPENID]), OPENID),
    "a list of lists": (line_of(openid=[["none", OPENID]]), OPENID),
    "a list of tokens": (line_of(access_token=[SECRET]), SECRET),
    "a list of codes": (line_of(x={"code": ["short", "081Kq7Lm3Np5Rt2Vw8"]}), "081Kq7Lm3Np5Rt2Vw8"),
    "a list of sessions": (json.dumps({"d": {"session": ["short", SECRET]}}), SECRET),
    "a list of authorizations": (line_of(headers={"authorization": [f"Bearer {SECRET}"]}), SECRET),
    "a list of basic authorizations": (line_of(headers={"authorization": ["Basic dXNlcjpwYXNz"]}), "dXNlcjpwYXNz"),
    "a list of cookies": (line_of(headers={"set-cookie": ["theme=dark", f"sid={SECRET}"]}), SECRET),
    "a list of numbers": (line_of(password=[90210777]), "90210777"),
    "a list in JSON": (body(openid=[OPENID]), OPENID),
    "a list in JSON in JSON": (body(data=json.dumps({"openid": ["none", OPENID]})), OPENID),
    "a list in JSON on lines": (line_of(json.dumps({"token": ["none", SECRET]}, indent=2)), SECRET),
    "a list of codes in JSON on lines": (line_of(json.dumps({"code": ["none", SECRET]}, indent=2)), SECRET),
    "a list in a script": (line_of(f"{{ openid: [ '{OPENID}' ] }}"), OPENID),
    "a list of cookies in a script": (line_of(f"cookie: [ 'sid={SECRET}' ]"), SECRET),
    "a password with quotes in a list": (line_of(password=['a"b\\"SECRET']), "SECRET"),
    "a phone in a list of harmless values": (line_of(token=["call 13812345678"]), "13812345678"),
    "pwd": (line_of(user={"pwd": "hunter22"}), "hunter22"),
    "userPwd in a query": (line_of("https://a.example/c?userPwd=hunter22&x=1"), "hunter22"),
    "a header with an API key": (line_of(headers={"x-api-key": SECRET}), SECRET),
    "api_key": (line_of(f"https://a.example/c?api_key={SECRET}"), SECRET),
    "apiKey": (body(apiKey=SECRET), SECRET),
    "a header with a secret key": (line_of(headers={"x-secret-key": SECRET}), SECRET),
    "a header with a session's id": (line_of(headers={"x-session-id": SECRET}), SECRET),
    "who sent a message": (line_of(f"<FromUserName><![CDATA[{OPENID}]]></FromUserName>"), OPENID),
    "who sent a message in JSON": (body(FromUserName=OPENID), OPENID),
    "a phone in a harmless value": (line_of(token="call 13812345678"), "13812345678"),
}

STAYS = {
    "status_code": line_of(status_code="081Kq7Lm3Np5Rt2Vw8"),
    "errcode": body(errcode=40029, errmsg="invalid code, 081Kq7Lm3Np5Rt2Vw8"),
    "an order number": line_of("order 4200001234202603021234567890"),
    "milliseconds": line_of("at 1772438400500", at=1772438400500),
    "a kind of token": body(token_type="bearer"),
    "a code that is zero": body(code=0),
    "a code that is a word": body(code="SUCCESS"),
    "a code that is a long word": line_of(error={"code": "INVALID_PARAMETER"}),
    "a dotted code": line_of(**{"error.code": "invalid-parameter-7"}),
    "a flag": body(need_password=1, is_secret=False, token=None),
    "a mask": body(password="***"),
    "a number of a serial key": line_of(id=13812345678),
    "a fraction": line_of("0.13812345678"),
    "a short token": line_of("token=abcdefghijk"),
    "a list of short ones": line_of(token=["abc", None, True, 7], code=["SUCCESS", "0"]),
    "a list of objects": line_of(openid=[{"count": 7}]),
    "no list": line_of(token=[]),
    "a list that a text begins": line_of("tokens: [see below] and the rest"),
    "a mask in a list": body(password=["***"]),
    "XML of numbers": line_of("<return_code><![CDATA[SUCCESS]]></return_code><err_code>081Kq7Lm3Np5Rt2Vw8</err_code>"),
    "XML without a value": line_of("<openid></openid><token/><password><![CDATA[]]></password>"),
    "a comparison": line_of("token > 081Kq7Lm3Np5Rt2Vw8 and secret>hunter22"),
    "a working folder": line_of("PWD=/srv/shop"),
    "a session's id": line_of(session={"id": "s72ccce8d1453eb33"}),
}

PIECES = st.one_of(
    st.sampled_from(
        [
            *(word.text for word in WORDS),
            *(word.text.upper() for word in WORDS),
            "code",
            "session",
            "SECRET",
            '"',
            '\\"',
            '\\\\\\"',
            "'",
        ]
    ),
    st.sampled_from(
        ["<", ">", "</", "<![CDATA[", "]]>", "\\u003c", "\\u003e", "[", "]", '["', "['", '[\\"', ", ", "\\n"]
    ),
    st.sampled_from([":", "=", " ", "\\t", "%22", "%3A", "%3D", "@", "/", ",", ".", "+86", "13812345678", "4" * 16]),
    st.sampled_from(
        [
            "081Kq7Lm3Np5Rt2Vw8",
            "0a" * 16,
            "0A" * 16,
            "11010519491231002X",
            "6222020000000000000",
            "-----BEGIN PRIVATE KEY-----",
            "é",
        ]
    ),
    st.text(max_size=3),
)
