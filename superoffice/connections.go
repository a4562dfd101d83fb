package superoffice

import (
	"encoding/json"
	"errors"
	"net/url"
	"strconv"
	"strings"
)

// Connection is an ERP connection of a tenant.
type Connection struct {
	ID   int32
	Name string
}

// ParseConnections reads the answer of GET {webapi}/v1/MDOList/erpconnections, which lists the ERP
// connections and is not restricted.
func ParseConnections(body []byte) ([]Connection, error) {
	var items []struct {
		Id   int32 //nolint:revive // the wire's spelling
		Name string
	}
	if err := json.Unmarshal(body, &items); err != nil {
		return nil, errors.New("MDOList/erpconnections did not answer a list in JSON")
	}
	connections := make([]Connection, len(items))
	for i, item := range items {
		connections[i] = Connection{item.Id, item.Name}
	}
	return connections, nil
}

// ConnectionArchive returns the path and query, below {webapi}, at which the archive of ERP connections lists
// one. The archive, its columns and the filter's form are documented, and it belongs to no restricted agent.
func ConnectionArchive(connection int32) string {
	return "/v1/archive/ErpConnection?$select=id,active&$filter=" + url.PathEscape("id eq "+strconv.Itoa(int(connection)))
}

// ParseConnectionArchive reports whether an answer of the archive has the connection as active. One that is
// deleted is not in it. How values are written is not documented, so that numbers and texts are taken; anything
// else is an error and no absence.
func ParseConnectionArchive(body []byte, connection int32) (active bool, err error) {
	var answer struct{ Value *[]map[string]json.RawMessage }
	if err := json.Unmarshal(body, &answer); err != nil || answer.Value == nil {
		return false, errors.New("archive/ErpConnection did not answer rows in JSON")
	}
	for _, row := range *answer.Value {
		switch id, err := strconv.ParseInt(column(row, "id"), 10, 32); {
		case err != nil:
			return false, errors.New("archive/ErpConnection answered a row without an id")
		case int32(id) != connection:
			continue // of a server that does not filter
		}
		switch strings.ToLower(column(row, "active")) {
		case "true", "1":
			return true, nil
		case "false", "0":
			return false, nil
		}
		return false, errors.New("archive/ErpConnection does not say whether the connection is active")
	}
	return false, nil
}

// column returns a row's value as a text; "" if it has none of that name.
func column(row map[string]json.RawMessage, name string) string {
	for key, raw := range row {
		if strings.EqualFold(key, name) {
			return strings.Trim(string(raw), `"`)
		}
	}
	return ""
}
