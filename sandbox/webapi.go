package sandbox

import (
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
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
	running := t.state == "Running" || t.state == "OnlineMaintenance"
	s.mu.Unlock()
	if misdirected {
		fault(w, http.StatusMisdirectedRequest, "aspnet", "", "The tenant lives on another subdomain")
		return
	}
	if !running {
		fault(w, http.StatusServiceUnavailable, "aspnet", "", "The tenant is not running")
		return
	}
	who, ok := s.authenticate(r, t, onsite)
	if !ok {
		w.Header().Set("WWW-Authenticate", "Basic")
		fault(w, http.StatusUnauthorized, "aspnet", "", "Authorization has been denied for this request.")
		return
	}
	switch strings.Join(route, "/") {
	case "user/currentprincipal":
		writeJSON(w, http.StatusOK, principal(t, who, onsite))
	case "user/currenttoken":
		s.serveCurrentToken(w, t, who)
	case "mdolist/erpconnections", "archive/erpconnection":
		writeJSON(w, http.StatusOK, connections(t))
	default:
		if len(route) == 3 && route[0] == "agents" && route[1] == "erpsync" {
			s.serveAgent(w, r, t, who, route[2], body, onsite)
			return
		}
		fault(w, http.StatusNotFound, "aspnet", "", "No HTTP resource was found that matches the request URI.")
	}
}

func (s *Sandbox) record(r *http.Request, body []byte) {
	header := r.Header.Clone()
	header.Set("Host", r.Host)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.requests) < maxRecorded {
		s.requests = append(s.requests, Recorded{Method: r.Method, URI: r.RequestURI, Header: header, Body: body})
	}
}

// authenticate finds whose request it is. A session counts only without
// Authorization, and then needs its XSRF token for every method.
func (s *Sandbox) authenticate(r *http.Request, t *tenant, onsite bool) (holder, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	scheme, value, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	var who holder
	var ok bool
	switch strings.ToLower(scheme) {
	case "":
		cookie, err := r.Cookie("ASP.NET_SessionId")
		if err != nil {
			return who, false
		}
		who, ok = s.tokens[cookie.Value]
		ok = ok && who.kind == "session" && same(who.xsrf, r.Header.Get("X-XSRF-TOKEN"))
	case "bearer":
		who, ok = s.tokens[value]
		ok = ok && who.kind == "access"
	case "soticket":
		who, ok = s.tokens[value]
		ok = ok && who.kind == "ticket"
		if ok && !onsite {
			ok = s.holdsAppToken(who.app, r.Header.Get("SO-AppToken"))
		}
		if ok {
			who.expires = s.now().Add(6 * 3600 * 1e9)
			s.tokens[value] = who
		}
	case "basic":
		raw, err := base64.StdEncoding.DecodeString(value)
		name, password, _ := strings.Cut(string(raw), ":")
		for _, u := range t.users {
			if err == nil && onsite && u.Name == name && same(u.Password, password) {
				return holder{kind: "basic", tenant: t.id, user: u}, true
			}
		}
		return who, false
	}
	return who, ok && who.tenant == t.id && s.now().Before(who.expires)
}

func (s *Sandbox) holdsAppToken(app, value string) bool {
	for _, a := range s.apps {
		if a.Name == app {
			return same(a.ClientSecret, value)
		}
	}
	return false
}

func same(a, b string) bool { return a != "" && subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

func principal(t *tenant, who holder, onsite bool) map[string]any {
	user, kind, rights := who.user, "InternalAssociate", []string{"can-run-mailmerge"}
	if who.system {
		user, kind = User{Name: "system", FullName: "System User", AssociateID: 1, Administrator: true}, "SystemAssociate"
	}
	if user.Administrator {
		rights = append([]string{"admin-all"}, rights...)
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

func connections(t *tenant) []map[string]any {
	list := []map[string]any{}
	for _, id := range []int{612, 613} {
		list = append(list, map[string]any{"Id": id, "Name": t.connected[id], "ToolTip": "", "ExtraInfo": fmt.Sprintf("00000000-0000-0000-0000-%012d", id)})
	}
	return list
}

// agentOperations are those that this stand-in carries out.
var agentOperations = map[string]string{
	"forceresync": "ForceResync", "forceresyncnoblankvalues": "ForceResyncNoBlankValues", "forceresyncbatchtask": "ForceResyncBatchTask",
	"forceresyncexternal": "ForceResyncExternal", "forceresyncexternalnoblankvalues": "ForceResyncExternalNoBlankValues",
	"syncall": "SyncAll", "forcesyncall": "ForceSyncAll", "getenginestatus": "GetEngineStatus", "getallconnectors": "GetAllConnectors",
	"getallconnections": "GetAllConnections", "changeenginestatus": "ChangeEngineStatus", "deleteconnection": "DeleteConnection",
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
	s.mu.Unlock()
	if !granted {
		status := http.StatusForbidden
		if refusal == "unauthorized" {
			status = http.StatusUnauthorized
		}
		fault(w, status, refusal, "SuperOffice.Exceptions.SoAccessException", "The agent is restricted.")
		return
	}
	arguments, err := readArguments(r.Header.Get("Content-Type"), body)
	if err != nil {
		fault(w, http.StatusBadRequest, "error", "ArgumentException", err.Error())
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
	switch operation {
	case "ForceResyncBatchTask":
		w.WriteHeader(http.StatusNoContent)
	case "GetEngineStatus", "ChangeEngineStatus":
		writeJSON(w, http.StatusOK, map[string]any{"IsRunning": true, "TableRight": nil, "FieldProperties": map[string]any{}})
	case "GetAllConnectors", "GetAllConnections":
		writeJSON(w, http.StatusOK, connections(t))
	case "DeleteConnection":
		w.WriteHeader(http.StatusNoContent)
	default:
		writePluginResponse(w, r, resync(t, arguments))
	}
}

func (s *Sandbox) granted(app string) bool {
	for _, a := range s.apps {
		if a.Name == app {
			for _, agent := range a.Agents {
				if agent == "ErpSync" {
					return true
				}
			}
		}
	}
	return false
}

func (a *Answer) write(w http.ResponseWriter, r *http.Request) {
	if a.Hold != nil {
		select {
		case <-a.Hold:
		case <-r.Context().Done():
			return
		}
	}
	for name, values := range a.Header {
		w.Header()[name] = values
	}
	if a.Abort && a.Status == 0 {
		panic(http.ErrAbortHandler)
	}
	if w.Header().Get("Content-Type") == "" && a.Body != "" {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
	}
	status := a.Status
	if status == 0 {
		status = http.StatusOK
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, a.Body)
	if a.Abort {
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
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

func resync(t *tenant, a arguments) pluginResponse {
	text := func(s string) *string { return &s }
	yes, no := true, false
	properties := map[string]any{}
	if a.connection > 0 && t.connected[a.connection] == "" {
		return pluginResponse{IsOk: &no, UserExplanation: text("Unknown connection."), TechExplanation: text("No ErpConnection with that id."), ErrorCode: text("CONNECTION_NOT_FOUND"), Status: text("Error"), FieldProperties: &properties}
	}
	if a.connection == 613 {
		return pluginResponse{IsOk: &no, UserExplanation: text("The ERP system did not answer."), TechExplanation: text("Connector timed out."), ErrorCode: text("CONNECTOR_TIMEOUT"), Status: text("Error"), FieldProperties: &properties}
	}
	changed := &changes{AddedRecords: []changedRecord{}, DeletedRecords: []changedRecord{}, UpdatedRecords: []changedRecord{}}
	for _, key := range a.keys {
		changed.UpdatedRecords = append(changed.UpdatedRecords, changedRecord{Tablename: "contact", RecordId: key})
	}
	return pluginResponse{IsOk: &yes, UserExplanation: text(""), TechExplanation: text(""), Changes: changed, Status: text("Ok"), FieldProperties: &properties}
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
	if accept := r.Header.Get("Accept"); strings.Contains(accept, "/xml") && !strings.Contains(accept, "json") {
		w.Header().Set("Content-Type", "application/xml; charset=utf-8")
		raw, _ := xml.Marshal(answer)
		_, _ = w.Write(raw)
		return
	}
	writeJSON(w, http.StatusOK, answer)
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
	default:
		writeJSON(w, status, map[string]any{"Message": message, "MessageDetail": message})
	}
}
