"""A long resync with Python's requests: it goes on without its connection, so that no time-out on the way matters."""
import os
import sys
import time
import uuid
from urllib.parse import urljoin

import requests

SITE, TENANT, TOKEN = os.environ["SITE"], os.environ["TENANT"], os.environ["TOKEN"]
BODY = {"ErpConnectionId": int(os.environ["CONNECTION"]), "InternalKeyIds": [int(k) for k in os.environ["KEYS"].split(",")]}
WAIT = os.environ.get("WAIT", "wait=20")  # below the shortest time-out on the way
PATIENCE = 25 * 60  # seconds; the gateway waits 20 minutes for SuperOffice
CALL = f"{SITE}/{TENANT}/api/v1/Agents/ErpSync/ForceResync"


def ask(method, url, **more):
    """The answer, or None where the connection broke: the call goes on all the same."""
    headers = {"Authorization": f"Bearer {TOKEN}", **more.pop("headers")}
    try:
        return requests.request(method, url, headers=headers, timeout=(10, 90), allow_redirects=False, **more)
    except requests.RequestException:
        return None


def resync():
    key, until, call = str(uuid.uuid4()), time.monotonic() + PATIENCE, None  # the key before the first try
    while time.monotonic() < until:
        if call is None:  # the same request until it is taken; nothing is run twice
            answer = ask("POST", CALL, json=BODY, headers={"Prefer": f"respond-async, {WAIT}", "Idempotency-Key": key})
        else:
            answer = ask("GET", call, headers={"Prefer": WAIT})
        ours = answer is not None and "ErpSync-Request-Id" in answer.headers  # and not that of something on the way
        if ours and "ErpSync-Replayed" in answer.headers:
            return told(answer)  # the call's own answer, whatever its status
        if ours and answer.status_code == 202 and "Retry-After" in answer.headers:  # not done
            if call is None:
                call = urljoin(SITE, answer.headers["Location"])
            elif "Preference-Applied" not in answer.headers:
                time.sleep(int(answer.headers["Retry-After"]))
            continue
        if ours and answer.status_code not in (409, 429, 503):
            return told(answer)
        time.sleep(int(answer.headers.get("Retry-After", 3)) if ours else 1)
    return "unknown", "No answer came. Look in SuperOffice before you send it again."


def told(answer):
    """What became of the call: not from the status, since a resync that failed is HTTP 200."""
    try:
        body = answer.json()
    except ValueError:
        body = {}
    body = body if isinstance(body, dict) else {}
    if "reason" in body:  # 404 and 401 of a GET: nobody is told of the call any more
        lost = body["reason"] == "outcome_unknown" or answer.request.method == "GET" and "ErpSync-Replayed" not in answer.headers
        return answer.headers.get("ErpSync-Outcome") or ("unknown" if lost else "refused"), body["detail"]
    outcome = answer.headers.get("ErpSync-Outcome") or ("ok" if body.get("IsOk") else "unreadable")
    return "error" if body.get("IsOk") is False else outcome, body.get("UserExplanation") or body.get("ErrorCode") or ""


outcome, says = resync()
print("outcome:", outcome, says)
sys.exit(0 if outcome in ("ok", "info", "warning") else 2)
