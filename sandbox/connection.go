package sandbox

import (
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"time"
)

// connection is an ERP connection. Every tenant has the same four.
type connection struct {
	id              int
	name            string
	active, deleted bool
	// fails has every resync through it fail.
	fails bool
}

var allConnections = []connection{
	{id: 612, name: "Visma", active: true},
	{id: 613, name: "Failing ERP", active: true, fails: true},
	{id: 614, name: "Paused ERP"},
	{id: 615, name: "Old ERP", deleted: true},
}

func findConnection(id int) (connection, bool) {
	for _, c := range allConnections {
		if c.id == id {
			return c, true
		}
	}
	return connection{}, false
}

// guid is the connection's identity towards its connector; it is not the ErpConnectionId.
func (c connection) guid() string { return fmt.Sprintf("00000000-0000-0000-0000-%012d", c.id) }

// connectionList is the MDO list erpconnections, which reformats the archive and so leaves out what is deleted.
func connectionList() []map[string]any {
	list := []map[string]any{}
	for _, c := range allConnections {
		if !c.deleted {
			list = append(list, map[string]any{"Id": c.id, "Name": c.name, "ToolTip": "", "Deleted": false, "ExtraInfo": c.guid()})
		}
	}
	return list
}

// connectorList answers GetAllConnectors.
func connectorList() []map[string]any {
	return []map[string]any{{"Id": 1, "Name": "Sandbox connector", "ToolTip": "", "Deleted": false}}
}

// connectionCarriers answers GetAllConnections.
func connectionCarriers(body []byte) []map[string]any {
	var in struct{ IncludeDeleted bool }
	_ = json.Unmarshal(body, &in)
	list := []map[string]any{}
	for _, c := range allConnections {
		if c.deleted && !in.IncludeDeleted {
			continue
		}
		list = append(list, map[string]any{
			"ErpConnectionId": c.id, "ErpConnectorId": 1, "DisplayName": c.name, "DisplayDescription": "", "Active": c.active, "ConnectionId": c.guid(),
			"MostRecentTimestamp": "", "ConfigFields": map[string]any{"Client": "1"}, "Deleted": c.deleted, "AllAccess": true, "UserGroupAccessIds": []int{},
			"TableRight": nil, "FieldProperties": map[string]any{},
		})
	}
	return list
}

// namedConnection reads the argument of an operation on one connection; json finds names without case.
func namedConnection(body []byte) (connection, bool) {
	var in struct{ ErpConnectionId, ErpSyncConnectionId int } //nolint:revive // the wire's spelling
	_ = json.Unmarshal(body, &in)
	return findConnection(in.ErpConnectionId + in.ErpSyncConnectionId)
}

// serveConnectionSummary answers GetErpSyncConnectionSummary: null for a connection that there is not.
func (s *Sandbox) serveConnectionSummary(w http.ResponseWriter, t *tenant, body []byte) {
	c, ok := namedConnection(body)
	if !ok {
		writeJSON(w, http.StatusOK, nil)
		return
	}
	s.mu.Lock()
	synced := t.synced[c.id] // never: .NET's zero time is Go's
	s.mu.Unlock()
	writeJSON(w, http.StatusOK, map[string]any{
		"DisplayName": c.name, "DisplayDescription": "", "Active": c.active, "Deleted": c.deleted, "LastSync": synced.UTC().Format("2006-01-02T15:04:05"),
		"Actors":     []map[string]any{{"ActorType": "Customer", "HasMappings": true, "Defaults": "", "Mappings": "name", "TableRight": nil, "FieldProperties": map[string]any{}}},
		"TableRight": nil, "FieldProperties": map[string]any{},
	})
}

// testConnection answers TestConnectionById: whether the connector reaches the ERP system.
func (s *Sandbox) testConnection(body []byte) bool {
	c, ok := namedConnection(body)
	return ok && !c.fails && !c.deleted && s.Switches().ERP != "gone"
}

// connectionArchive is the archive ErpConnection, with the columns that the vendor's reference has for it.
var connectionArchive = archive{
	name: "erpConnection", key: "id",
	columns: []string{"id", "name", "description", "active", "erpid", "mostrecent", "allaccess", "deleted", "connector/id", "connector/name"},
	rows: func(entities []string) iter.Seq[row] {
		return func(yield func(row) bool) {
			for _, c := range allConnections {
				entity := "erpConnection"
				if c.deleted {
					entity = "deleted"
				}
				if !contains(entities, entity, !c.deleted) {
					continue
				}
				if !yield(row{
					"id": c.id, "name": c.name, "description": "", "active": c.active, "erpid": c.guid(), "mostrecent": "", "allaccess": true, "deleted": c.deleted,
					"connector/id": 1, "connector/name": "Sandbox connector",
				}) {
					return
				}
			}
		}
	},
}

// serveArchiveAs answers as the switch says.
func (s *Sandbox) serveArchiveAs(w http.ResponseWriter, r *http.Request, a archive, how string) {
	a.backslash = s.Switches().FilterQuote != "doubled"
	switch how {
	case "403":
		fault(w, http.StatusForbidden, "error", "SoSecurityException", "Access denied.")
		return
	case "404":
		fault(w, http.StatusNotFound, "aspnet", "", "No HTTP resource was found that matches the request URI.")
		return
	case "html":
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<html>Sign in</html>"))
		return
	case "unfiltered":
		query := r.URL.Query()
		query.Del("$filter")
		r = r.Clone(r.Context())
		r.URL.RawQuery = query.Encode()
	case "unordered":
		a.unordered, a.rows = true, backwards(a.rows)
	case "texts":
		a.texts = true
	}
	serveArchive(w, r, a)
}

// backwards returns rows from the last to the first.
func backwards(rows func([]string) iter.Seq[row]) func([]string) iter.Seq[row] {
	return func(entities []string) iter.Seq[row] {
		all := slices.Collect(rows(entities))
		slices.Reverse(all)
		return slices.Values(all)
	}
}

// resynced notes when a connection last carried a resync.
func (s *Sandbox) resynced(t *tenant, connection int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.synced[connection] = s.now().Truncate(time.Second)
}
