package superoffice

import (
	"encoding/json"
	"errors"
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
