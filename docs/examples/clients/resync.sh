#!/usr/bin/env bash
# A service with curl. No --retry: it repeats a POST. The token goes in by a file descriptor, so that ps does not show it.
set -euo pipefail
patience=1500 # seconds; the gateway waits 20 minutes for SuperOffice
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# send leaves status, headers and body in $work; status is 000 if the connection broke.
send() {
	curl -sS -o "$work/body" -D "$work/head" -w '%{http_code}' --max-time "$patience" -H @<(printf 'Authorization: Bearer %s' "$TOKEN") -H "$1" \
		--json "{\"ErpConnectionId\":$CONNECTION,\"InternalKeyIds\":[$KEYS]}" "$SITE/$TENANT/api/v1/Agents/ErpSync/ForceResync" >"$work/status" 2>"$work/error" || echo 000 >"$work/status"
}
header() { sed -n "s/^$1: *\([^\r]*\).*/\1/Ip" "$work/head"; }
has() { grep -q "$1" "$work/body"; }
done_with() { echo "outcome: $1"; case $1 in ok | info | warning) exit 0 ;; esac; exit 2; }

send 'ErpSync-Dry-Run: true'
has '"dry_run":true' || { cat "$work/body" >&2; done_with refused; }

key=$(cat /proc/sys/kernel/random/uuid) # before the first try; the same for every one
again=
while [ "$SECONDS" -lt "$patience" ]; do
	send "Idempotency-Key: $key"
	case $again$(cat "$work/status") in
	000 | again000 | again409 | again429 | again503)
		again=again
		after=$(header Retry-After)
		sleep "${after:-3}"
		;;
	*)
		# Not from the status, since a resync that failed is HTTP 200.
		if has '"reason":"outcome_unknown"'; then done_with unknown; fi
		if has '"reason":'; then cat "$work/body" >&2; done_with refused; fi
		if has '"IsOk":false'; then done_with error; fi
		outcome=$(header ErpSync-Outcome)
		done_with "${outcome:-unreadable}"
		;;
	esac
done
done_with unknown
