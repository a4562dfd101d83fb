package main

import (
	"io"
	"net/http"
	"strings"
	"time"
)

const answer = `{"IsOk":true,"UserExplanation":"","TechExplanation":"","ErrorCode":null,"Changes":{"AddedRecords":[],"UpdatedRecords":[{"Tablename":"contact","RecordId":386,"TableRight":null,"FieldProperties":null},{"Tablename":"contact","RecordId":230,"TableRight":null,"FieldProperties":null}],"DeletedRecords":[]},"Status":"Ok","TableRight":null,"FieldProperties":{}}`

// serveUpstream answers every resync alike and refuses what comes without a
// credential or app token, so that a fast wrong answer shows as an error.
func serveUpstream(addr string) error {
	server := &http.Server{Addr: addr, ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if strings.HasSuffix(r.URL.Path, "/currentPrincipal") { // the proof of a caller's own ticket
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"EjUserId":0,"Associate":"per","AssociateId":11,"UserType":"InternalAssociate","DatabaseContextIdentifier":"Cust12345","FunctionRights":[]}`)
			return
		}
		scheme, value, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if scheme != "Bearer" && scheme != "SOTicket" || value == "" || r.Header.Get("SO-AppToken") == "" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		_, _ = io.WriteString(w, answer)
	})}
	return server.ListenAndServe()
}
