"""A service with Python's requests. Its Session repeats nothing by default: leave POST out of Retry's allowed_methods."""
import os
import sys
import time
import uuid

import requests

SITE, TENANT, TOKEN = os.environ["SITE"], os.environ["TENANT"], os.environ["TOKEN"]
BODY = {"ErpConnectionId": int(os.environ["CONNECTION"]), "InternalKeyIds": [int(k) for k in os.environ["KEYS"].split(",")]}
PATIENCE = 25 * 60  # seconds; the gateway waits 20 minutes for SuperOffice


def send(**headers):
    return requests.post(
        f"{SITE}/{TENANT}/api/v1/Agents/ErpSync/ForceResync",
        json=BODY,
        headers={"Authorization": f"Bearer {TOKEN}", **{k.replace("_", "-"): v for k, v in headers.items()}},
        timeout=(10, PATIENCE),
    )


def body_of(answer):
    try:
        body = answer.json()
    except ValueError:
        body = None
    return body if isinstance(body, dict) else {}


def told(answer):
    """What became of the call: not from the status, since a resync that failed is HTTP 200."""
    body = body_of(answer)
    if "reason" in body:
        return "unknown" if body["reason"] == "outcome_unknown" else "refused", body["detail"]
    outcome = answer.headers.get("ErpSync-Outcome") or ("ok" if body.get("IsOk") else "unreadable")
    return "error" if body.get("IsOk") is False else outcome, body.get("UserExplanation") or body.get("ErrorCode") or ""


def resync():
    dry = body_of(send(ErpSync_Dry_Run="true"))
    if not dry.get("dry_run"):
        return "refused", dry.get("detail", "")
    key, until, again = str(uuid.uuid4()), time.monotonic() + PATIENCE, False  # the key before the first try
    while time.monotonic() < until:
        answer = None
        try:
            answer = send(Idempotency_Key=key)
        except requests.RequestException:
            pass  # the connection broke
        if answer is not None and not (again and "reason" in body_of(answer) and answer.status_code in (409, 429, 503)):
            return told(answer)
        again = True
        time.sleep(int(answer.headers.get("Retry-After", 3)) if answer is not None else 3)
    return "unknown", "No answer came. Look in SuperOffice before you send it again."


outcome, says = resync()
print("outcome:", outcome, says)
sys.exit(0 if outcome in ("ok", "info", "warning") else 2)
