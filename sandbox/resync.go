package sandbox

import "net/http"

// resyncs reports whether an operation of the agent makes the ERP system work.
func resyncs(operation string) bool {
	switch operation {
	case "ForceResync", "ForceResyncNoBlankValues", "ForceResyncExternal", "ForceResyncExternalNoBlankValues", "SyncAll", "ForceSyncAll":
		return true
	}
	return false
}

// failed is a resync that did not do what it was asked for. SuperOffice publishes no list of error codes; these are the sandbox's own.
func failed(user, tech, code string) pluginResponse {
	no, status := false, "Error"
	return pluginResponse{IsOk: &no, UserExplanation: &user, TechExplanation: &tech, ErrorCode: &code, Status: &status, FieldProperties: &map[string]any{}}
}

// resync carries a resync out.
func (s *Sandbox) resync(t *tenant, a arguments) pluginResponse {
	switches := s.Switches()
	c, found := findConnection(a.connection)
	switch {
	case a.connection > 0 && (!found || c.deleted):
		return failed("Unknown connection.", "No ErpConnection with that id.", "CONNECTION_NOT_FOUND")
	case found && !c.active:
		return failed("The connection is not active.", "The ErpConnection is inactive.", "CONNECTION_INACTIVE")
	case c.fails || switches.ERP == "gone":
		return failed("The ERP system did not answer.", "Connector timed out.", "CONNECTOR_TIMEOUT")
	}
	keys := a.keys
	if len(keys) == 0 { // everything; told of are those that changed
		keys = []int{230, 231, 232, 386}
	}
	changed := &changes{AddedRecords: []changedRecord{}, DeletedRecords: []changedRecord{}, UpdatedRecords: []changedRecord{}}
	for _, key := range keys {
		record, ok := findRecord(key)
		if !ok && switches.UnknownKey != "ignored" {
			return failed("The record is not synchronised.", "No ErpInternalKey with that id.", "INTERNAL_KEY_NOT_FOUND")
		}
		if ok {
			changed.UpdatedRecords = append(changed.UpdatedRecords, changedRecord{Tablename: record.tableName, RecordId: record.id})
		}
	}
	s.resynced(t, a.connection)
	yes, status, empty := true, "Ok", ""
	return pluginResponse{IsOk: &yes, UserExplanation: &empty, TechExplanation: &empty, Changes: changed, Status: &status, FieldProperties: &map[string]any{}}
}

// writeOutcome writes what a resync came to, or what it is to seem to have come to.
func (s *Sandbox) writeOutcome(w http.ResponseWriter, r *http.Request, answer pluginResponse) {
	outcome := s.Switches().Outcome
	set := func(ok bool, status string) { answer.IsOk, answer.Status = &ok, &status }
	switch outcome {
	case "ok":
		set(true, "Ok")
		answer.ErrorCode = nil
	case "info":
		set(true, "OkWithInfo")
	case "warning":
		set(true, "Warning")
	case "warn":
		set(true, "Warn")
	case "error":
		answer = failed("The ERP system refused the record.", "Refused by the connector (sandbox).", "SANDBOX_ERROR")
	case "contradictory":
		set(true, "Error")
	case "nulled":
		answer.IsOk, answer.Status, answer.ErrorCode = nil, nil, nil
	case "null":
		writeJSON(w, http.StatusOK, nil)
		return
	case "no_content":
		w.WriteHeader(http.StatusNoContent)
		return
	}
	writePluginResponse(w, r, answer)
}
