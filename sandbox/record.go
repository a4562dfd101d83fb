package sandbox

import (
	"fmt"
	"iter"
)

// SuperOffice keeps a synchronised record in two tables: a row of ErpInternalKey, whose id is the internal key,
// names the CRM record (tableId, recordId), and a row of ErpExternalKey names its number in the ERP system behind one
// connection. So no number stands for another, and here none can be taken for another: internal keys, CRM records and
// ERP numbers come from ranges apart.
const (
	firstKey, lastKey = 1, 9999
	recordOffset      = 40_000  // the CRM record of key 386 has the id 40386 …
	erpOffset         = 100_000 // … and is number 100386 in the ERP system
)

// The database's numbers of the tables that are synchronised here.
const (
	contactTable = 5
	personTable  = 6
	projectTable = 9
)

// syncRecord is a synchronised record.
type syncRecord struct {
	key, table, id, actor int // actor is an ErpActorType: 1 customer, 4 contact person, 5 project
	tableName, name       string
}

// namedRecords are those of the sample request and their neighbours; every other key is a company of its number.
var namedRecords = map[int]string{386: "Uno AS", 230: "Dos AB"}

// findRecord returns the record of an internal key.
func findRecord(key int) (syncRecord, bool) {
	if key < firstKey || key > lastKey {
		return syncRecord{}, false
	}
	record := syncRecord{key: key, table: contactTable, tableName: "contact", id: recordOffset + key, actor: 1, name: namedRecords[key]}
	switch {
	case key == 231:
		record.table, record.tableName, record.actor, record.name = personTable, "person", 4, "Una Person"
	case key == 232:
		record.table, record.tableName, record.actor, record.name = projectTable, "project", 5, "Uno roll-out"
	case record.name == "":
		record.name = fmt.Sprintf("Company %d", key)
	}
	return record, true
}

// erpKey returns the record's number behind a connection.
func (r syncRecord) erpKey(connection int) string {
	if connection == 612 {
		return fmt.Sprint(erpOffset + r.key)
	}
	return fmt.Sprintf("F-%d", erpOffset+r.key)
}

func syncRecords() iter.Seq[syncRecord] {
	return func(yield func(syncRecord) bool) {
		for key := firstKey; key <= lastKey; key++ {
			if record, _ := findRecord(key); !yield(record) {
				return
			}
		}
	}
}

// keyedConnections are those that have external keys, by their order in the table.
var keyedConnections = []int{612, 613}

// contactArchive is the archive of companies, which finds one by name.
var contactArchive = archive{
	name: "contact", key: "contactid", columns: []string{"contactid", "name", "namedepartment"},
	rows: func([]string) iter.Seq[row] {
		return func(yield func(row) bool) {
			for record := range syncRecords() {
				if record.table == contactTable && !yield(row{"contactid": record.id, "name": record.name, "namedepartment": record.name}) {
					return
				}
			}
		}
	},
}

// dynamicArchive is the archive Dynamic, which reads tables in the dot syntax; here only ErpExternalKey, and
// through its foreign key ErpInternalKey.
var dynamicArchive = archive{
	name: "erpexternalkey", key: "erpexternalkey.erpexternalkey_id",
	columns: []string{
		"erpexternalkey.erpexternalkey_id", "erpexternalkey.erpinternalkeyid", "erpexternalkey.erpconnectionid", "erpexternalkey.erpkey", "erpexternalkey.actortype",
		"erpexternalkey.erpinternalkeyid.erpinternalkey_id", "erpexternalkey.erpinternalkeyid.tableid", "erpexternalkey.erpinternalkeyid.recordid",
	},
	rows: func([]string) iter.Seq[row] {
		return func(yield func(row) bool) {
			for record := range syncRecords() {
				for i, connection := range keyedConnections {
					if !yield(row{
						"erpexternalkey.erpexternalkey_id": 200_000 + 2*record.key + i, "erpexternalkey.erpinternalkeyid": record.key,
						"erpexternalkey.erpconnectionid": connection, "erpexternalkey.erpkey": record.erpKey(connection), "erpexternalkey.actortype": record.actor,
						"erpexternalkey.erpinternalkeyid.erpinternalkey_id": record.key, "erpexternalkey.erpinternalkeyid.tableid": record.table,
						"erpexternalkey.erpinternalkeyid.recordid": record.id,
					}) {
						return
					}
				}
			}
		}
	},
}
