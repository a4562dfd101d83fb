package superoffice

import "strings"

// Agent is the name of the agent that the gateway stands before, as the
// developer portal and the WebAPI's paths write it.
const Agent = "ErpSync"

// Operation is one of the agent's operations that the gateway knows by name.
// The zero Operation is none of them.
type Operation uint8

// The operations that move data, and the one that only tells how the engine is.
// The agent has some forty others, which read or change its configuration:
// the gateway has no name for them, so that nobody can grant one.
const (
	UnknownOperation Operation = iota
	ForceResync
	ForceResyncNoBlankValues
	ForceResyncBatchTask
	ForceResyncExternal
	ForceResyncExternalNoBlankValues
	SyncAll
	ForceSyncAll
	GetEngineStatus

	operationCount
)

// Arguments says what the body of an operation consists of.
type ArgumentKind uint8

const (
	// NoArguments: the operation has no body.
	NoArguments ArgumentKind = iota
	// InternalKeys: ErpConnectionId and InternalKeyIds.
	InternalKeys
	// ExternalKeys: ErpConnectionId, ErpActorType and ExternalKeys.
	ExternalKeys
)

// AnswerKind says what a 2xx answer of an operation holds.
type AnswerKind uint8

const (
	// AnswersPluginResponse: a PluginResponse, or null.
	AnswersPluginResponse AnswerKind = iota
	// AnswersNothing: 204, the work goes on in a batch task.
	AnswersNothing
	// AnswersOther: something that says nothing about a resync.
	AnswersOther
)

type operationTraits struct {
	name       string
	arguments  ArgumentKind
	answer     AnswerKind
	everything bool
	reads      bool
}

var operations = [operationCount]operationTraits{
	UnknownOperation:                 {name: "unknown", answer: AnswersOther},
	ForceResync:                      {name: "ForceResync", arguments: InternalKeys},
	ForceResyncNoBlankValues:         {name: "ForceResyncNoBlankValues", arguments: InternalKeys},
	ForceResyncBatchTask:             {name: "ForceResyncBatchTask", arguments: InternalKeys, answer: AnswersNothing},
	ForceResyncExternal:              {name: "ForceResyncExternal", arguments: ExternalKeys},
	ForceResyncExternalNoBlankValues: {name: "ForceResyncExternalNoBlankValues", arguments: ExternalKeys},
	SyncAll:                          {name: "SyncAll", everything: true},
	ForceSyncAll:                     {name: "ForceSyncAll", everything: true},
	GetEngineStatus:                  {name: "GetEngineStatus", answer: AnswersOther, reads: true},
}

// ParseOperation finds the operation of that name, in letters of any case.
// Names that the gateway does not know give UnknownOperation and false.
func ParseOperation(name string) (Operation, bool) {
	for op := UnknownOperation + 1; op < operationCount; op++ {
		if strings.EqualFold(operations[op].name, name) {
			return op, true
		}
	}
	return UnknownOperation, false
}

// Operations lists the operations that can be granted, in the order of their constants.
func Operations() []Operation {
	all := make([]Operation, 0, operationCount-1)
	for op := UnknownOperation + 1; op < operationCount; op++ {
		all = append(all, op)
	}
	return all
}

// String returns the operation's name as the vendor writes it, "unknown" for the zero Operation.
func (op Operation) String() string {
	if op >= operationCount {
		op = UnknownOperation
	}
	return operations[op].name
}

// Arguments returns what the operation's body consists of.
func (op Operation) Arguments() ArgumentKind { return operations[op].arguments }

// Answer returns what a 2xx answer to the operation holds.
func (op Operation) Answer() AnswerKind { return operations[op].answer }

// Everything reports whether the operation always resynchronises everything.
func (op Operation) Everything() bool { return operations[op].everything }

// Resyncs reports whether the operation moves data between CRM and ERP.
func (op Operation) Resyncs() bool { return op != UnknownOperation && !operations[op].reads }
