package sandbox

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

const maxBody = 8 << 20

func (s *Sandbox) serveAPI(w http.ResponseWriter, r *http.Request, t *tenant, route []string) {
	body, _ := io.ReadAll(io.LimitReader(r.Body, maxBody))
	s.record(r, body)
	// What an IIS puts on its answers.
	w.Header().Set("Server", "Microsoft-IIS/10.0")
	w.Header().Set("X-Powered-By", "ASP.NET")
	w.Header().Set("SO-Timezone", "UTC")
	http.SetCookie(w, &http.Cookie{Name: "ARRAffinity", Value: random(8), Path: "/", HttpOnly: true})

	s.mu.Lock()
	onsite := s.onsite != "" && strings.HasPrefix(strings.ToLower(r.URL.Path), strings.ToLower(s.onsite)+"/")
	misdirected := !onsite && !strings.HasSuffix(t.base, "//"+r.Host)
	running := t.running()
	failure := s.takeFault("api", t, 0)
	s.mu.Unlock()
	if s.failBefore(w, r, failure) || s.failAfter(w, r, failure) {
		return
	}
	if misdirected {
		fault(w, http.StatusMisdirectedRequest, "aspnet", "", "The tenant lives on another subdomain")
		return
	}
	if !running {
		fault(w, http.StatusServiceUnavailable, "aspnet", "", "The tenant is not running")
		return
	}
	who, status := s.authenticate(r, t, onsite)
	if status != 0 {
		if status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", "Basic")
		}
		fault(w, status, "aspnet", "", "Authorization has been denied for this request.")
		return
	}
	if len(route) == 3 && route[0] == "agents" && route[1] == "erpsync" {
		s.serveAgent(w, r, t, who, route[2], body, onsite)
		return
	}
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		fault(w, http.StatusMethodNotAllowed, "aspnet", "", "The requested resource does not support the method.")
		return
	}
	switch strings.Join(route, "/") {
	case "user/currentprincipal":
		s.mu.Lock()
		rights := who.system || !s.withoutRights(who)
		s.mu.Unlock()
		writeJSON(w, http.StatusOK, principal(t, who, onsite, rights))
	case "user/currenttoken":
		s.serveCurrentToken(w, t, who)
	case "mdolist/erpconnections":
		writeJSON(w, http.StatusOK, connectionList())
	case "archive/erpconnection":
		s.serveArchiveAs(w, r, connectionArchive, s.Switches().ConnectionArchive)
	case "archive/contact":
		s.serveArchiveAs(w, r, contactArchive, s.Switches().KeyArchives)
	case "archive/dynamic":
		s.serveArchiveAs(w, r, dynamicArchive, s.Switches().KeyArchives)
	default:
		fault(w, http.StatusNotFound, "aspnet", "", "No HTTP resource was found that matches the request URI.")
	}
}

func principal(t *tenant, who holder, onsite, mayUseAgent bool) map[string]any {
	user, kind, rights := who.user, "InternalAssociate", []string{"can-run-mailmerge"}
	if who.system {
		user, kind = User{Name: "system", FullName: "System User", AssociateID: 1, Administrator: true}, "SystemAssociate"
	}
	if user.Administrator {
		rights = append([]string{"admin-all"}, rights...)
	}
	if !mayUseAgent {
		rights = []string{}
	}
	context := t.id
	if onsite {
		context = "Default"
	}
	return map[string]any{
		"UserType": kind, "Associate": user.Name, "AssociateId": user.AssociateID, "IsPerson": !who.system, "FullName": user.FullName, "EMailAddress": user.UPN,
		"RoleType": "Employee", "FunctionRights": rights, "DatabaseContextIdentifier": context,
	}
}

func (s *Sandbox) serveCurrentToken(w http.ResponseWriter, t *tenant, who holder) {
	s.mu.Lock()
	if s.switches.NoCurrentToken {
		s.mu.Unlock()
		fault(w, http.StatusNotFound, "aspnet", "", "No HTTP resource was found that matches the request URI.")
		return
	}
	app := who.app
	if app == "" {
		app = "portal" // the web client is an app of SuperOffice's own, granted everything
	}
	token := s.issue(holder{kind: "access", tenant: t.id, app: app, user: who.user})
	s.mu.Unlock()
	writeJSON(w, http.StatusOK, token)
}

// agentOperations are those that this stand-in carries out.
var agentOperations = map[string]string{
	"forceresync": "ForceResync", "forceresyncnoblankvalues": "ForceResyncNoBlankValues", "forceresyncbatchtask": "ForceResyncBatchTask",
	"forceresyncexternal": "ForceResyncExternal", "forceresyncexternalnoblankvalues": "ForceResyncExternalNoBlankValues",
	"syncall": "SyncAll", "forcesyncall": "ForceSyncAll", "getenginestatus": "GetEngineStatus", "getallconnectors": "GetAllConnectors",
	"getallconnections": "GetAllConnections", "geterpsyncconnectionsummary": "GetErpSyncConnectionSummary", "testconnectionbyid": "TestConnectionById",
	"changeenginestatus": "ChangeEngineStatus", "deleteconnection": "DeleteConnection",
}

func (s *Sandbox) serveAgent(w http.ResponseWriter, r *http.Request, t *tenant, who holder, route string, body []byte, onsite bool) {
	operation, ok := agentOperations[route]
	if !ok {
		fault(w, http.StatusNotFound, "aspnet", "", "No action was found on the controller.")
		return
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, "<html><body><h1>POST Agents/ErpSync/%s</h1></body></html>", operation)
		return
	}
	s.mu.Lock()
	refusal, answer := s.switches.Refusal, s.answer
	granted := onsite || s.granted(who.app)
	without, how := s.withoutRights(who), s.switches.RightsRefusal
	s.mu.Unlock()
	if !granted {
		refuseAgent(w, refusal)
		return
	}
	if without && how != "outcome" {
		fault(w, http.StatusForbidden, refusal, "SuperOffice.Exceptions.SoAccessException", "You do not have the rights to do this.")
		return
	}
	arguments, err := readArguments(r.Header.Get("Content-Type"), body)
	if err != nil {
		fault(w, http.StatusBadRequest, "error", "ArgumentException", err.Error())
		return
	}
	s.mu.Lock()
	failure := s.takeFault("agent", t, arguments.connection)
	s.mu.Unlock()
	if s.failBefore(w, r, failure) {
		return
	}
	if without {
		writePluginResponse(w, r, failed("You do not have the rights to do this.", "The associate lacks the right to use the ERP integration.", "ACCESS_DENIED"))
		return
	}
	s.mu.Lock()
	s.runs = append(s.runs, Run{Tenant: t.id, Operation: operation, Who: who.user.Name, Connection: arguments.connection, Keys: arguments.keys})
	s.mu.Unlock()
	if answer != nil {
		if a := answer(operation, arguments.connection); a != nil {
			a.write(w, r)
			return
		}
	}
	if resyncs(operation) && !s.work(r) || s.failAfter(w, r, failure) {
		return
	}
	switch operation {
	case "ForceResyncBatchTask":
		w.WriteHeader(http.StatusNoContent)
	case "GetEngineStatus", "ChangeEngineStatus":
		writeJSON(w, http.StatusOK, map[string]any{"IsRunning": true, "TableRight": nil, "FieldProperties": map[string]any{}})
	case "GetAllConnectors":
		writeJSON(w, http.StatusOK, connectorList())
	case "GetAllConnections":
		writeJSON(w, http.StatusOK, connectionCarriers(body))
	case "GetErpSyncConnectionSummary":
		s.serveConnectionSummary(w, t, body)
	case "TestConnectionById":
		writeJSON(w, http.StatusOK, s.testConnection(body))
	case "DeleteConnection":
		w.WriteHeader(http.StatusNoContent)
	default:
		s.writeOutcome(w, r, s.resync(t, arguments))
	}
}

// refuseAgent refuses a restricted agent to an app that it was not granted to.
func refuseAgent(w http.ResponseWriter, refusal string) {
	const kind, message = "SuperOffice.Exceptions.SoAccessException", "The agent is restricted."
	switch refusal {
	case "unauthorized":
		fault(w, http.StatusUnauthorized, refusal, kind, message)
	case "not_found":
		fault(w, http.StatusNotFound, "aspnet", "", "No HTTP resource was found that matches the request URI.")
	default:
		fault(w, http.StatusForbidden, refusal, kind, message)
	}
}

type arguments struct {
	connection int
	keys       []int
}

// readArguments reads as the real one is believed to: names without case, the
// last of two wins, what is missing is zero.
func readArguments(contentType string, body []byte) (arguments, error) {
	var in struct {
		XMLName         xml.Name `json:"-"`
		ErpConnectionID int      `json:"ErpConnectionId" xml:"ErpConnectionId"`
		InternalKeyIDs  []int    `json:"InternalKeyIds" xml:"InternalKeyIds>int"`
	}
	media, _, _ := strings.Cut(contentType, ";")
	if len(body) == 0 {
		return arguments{}, nil
	}
	switch strings.ToLower(strings.TrimSpace(media)) {
	case "application/json", "text/json", "application/merge-patch+json", "application/json-patch+json", "":
		if err := json.Unmarshal(body, &in); err != nil {
			return arguments{}, errors.New("the request is not valid")
		}
	case "application/xml", "text/xml":
		if err := xml.Unmarshal(body, &in); err != nil {
			return arguments{}, errors.New("the request is not valid")
		}
	case "application/x-www-form-urlencoded":
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return arguments{}, err
		}
		in.ErpConnectionID, _ = strconv.Atoi(form.Get("ErpConnectionId"))
		for _, key := range form["InternalKeyIds"] {
			id, _ := strconv.Atoi(key)
			in.InternalKeyIDs = append(in.InternalKeyIDs, id)
		}
	default:
		return arguments{}, errors.New("the media type is not supported")
	}
	return arguments{in.ErpConnectionID, in.InternalKeyIDs}, nil
}

// pluginResponse is the carrier as it stands on the wire; the order is the vendor's.
type pluginResponse struct {
	XMLName         xml.Name        `json:"-" xml:"PluginResponse"`
	IsOk            *bool           //nolint:revive // the wire's spelling
	UserExplanation *string         `xml:",omitempty"`
	TechExplanation *string         `xml:",omitempty"`
	ErrorCode       *string         `xml:",omitempty"`
	Changes         *changes        `xml:",omitempty"`
	Status          *string         `xml:",omitempty"`
	TableRight      *string         `xml:",omitempty"`
	FieldProperties *map[string]any `xml:"-"`
}

type changes struct {
	AddedRecords, UpdatedRecords, DeletedRecords []changedRecord
}

type changedRecord struct {
	Tablename       string
	RecordId        int     //nolint:revive // the wire's spelling
	TableRight      *string `xml:",omitempty"`
	FieldProperties *string `json:",omitempty" xml:",omitempty"`
}

func writePluginResponse(w http.ResponseWriter, r *http.Request, answer pluginResponse) {
	if selected := r.URL.Query().Get("$select"); selected != "" {
		keep := map[string]bool{}
		for field := range strings.SplitSeq(strings.ToLower(selected), ",") {
			keep[strings.TrimSpace(field)] = true
		}
		if !keep["isok"] {
			answer.IsOk = nil
		}
		if !keep["status"] {
			answer.Status = nil
		}
		if !keep["errorcode"] {
			answer.ErrorCode = nil
		}
		if !keep["userexplanation"] {
			answer.UserExplanation = nil
		}
		if !keep["techexplanation"] {
			answer.TechExplanation = nil
		}
		if !keep["changes"] {
			answer.Changes = nil
		}
		if !keep["fieldproperties"] {
			answer.FieldProperties = nil
		}
	}
	write, media := json.Marshal, answerType(r.Header)
	if strings.HasSuffix(media, "/xml") {
		write = xml.Marshal
	}
	raw, err := write(answer)
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", media+"; charset=utf-8")
	_, _ = w.Write(raw)
}

// answerTypes are what the formatters write, in ASP.NET's order.
var answerTypes = []string{"application/json", "text/json", "application/merge-patch+json", "application/json-patch+json", "application/xml", "text/xml"}

// answerType negotiates as ASP.NET Web API does: the best of what Accept lists; without Accept, or if none of it
// can be written, the request body's own type; else JSON.
func answerType(header http.Header) string {
	best, weight := "", 0.0
	for listed := range strings.SplitSeq(strings.Join(header["Accept"], ","), ",") {
		media, parameters, err := mime.ParseMediaType(listed)
		if err != nil {
			continue
		}
		q := 1.0
		if raw, ok := parameters["q"]; ok {
			if q, err = strconv.ParseFloat(raw, 64); err != nil {
				continue
			}
		}
		for _, known := range answerTypes {
			if q > weight && (media == known || media == "*/*" || strings.HasSuffix(media, "/*") && strings.HasPrefix(known, strings.TrimSuffix(media, "*"))) {
				best, weight = known, q
			}
		}
	}
	if best != "" {
		return best
	}
	media, _, _ := strings.Cut(header.Get("Content-Type"), ";")
	media = strings.ToLower(strings.TrimSpace(media))
	if slices.Contains(answerTypes, media) {
		return media
	}
	return answerTypes[0]
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	raw, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(raw)
}

// fault writes an error body in one of the shapes that occur.
func fault(w http.ResponseWriter, status int, shape, kind, message string) {
	switch shape {
	case "error", "":
		writeJSON(w, status, map[string]any{"Error": true, "ErrorType": kind, "ErrorMessage": message, "ErrorSource": "NetServer"})
	case "message":
		writeJSON(w, status, map[string]any{"Error": true, "ErrorType": kind, "Message": message})
	case "empty":
		w.WriteHeader(status)
	case "html":
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(status)
		fmt.Fprintf(w, "<!doctype html><title>%d</title><p>%s</p>", status, message)
	default:
		writeJSON(w, status, map[string]any{"Message": message, "MessageDetail": message})
	}
}
