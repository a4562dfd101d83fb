package guard

import (
	"maps"
	"sync"
	"time"
)

// Running knows which calls run in this process, and which may run still at SuperOffice, by a name that
// says what they do. It outlives configurations. The zero Running is ready.
type Running struct {
	mu      sync.Mutex
	byName  map[string]string
	unended map[string]unended
}

// unended is a call that was sent and whose end nobody knows.
type unended struct {
	id    string
	until time.Time
}

// TryStart notes that the call with id runs under the name, unless another does; then it gives that one's id.
func (r *Running) TryStart(name, id string) (other string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if other := r.byName[name]; other != "" {
		return other
	}
	if r.byName == nil {
		r.byName = make(map[string]string)
	}
	r.byName[name] = id
	return ""
}

// Runs returns the id of the call that runs under the name; "" if none does.
func (r *Running) Runs(name string) (id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byName[name]
}

// Done notes that the call which runs under the name is over.
func (r *Running) Done(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.byName, name)
}

// Unended notes that the call with id was sent under the name and that its end is not known: it may run until then.
func (r *Running) Unended(name, id string, until time.Time) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.unended, func(_ string, u unended) bool { return !now.Before(u.until) })
	if r.unended == nil {
		r.unended = make(map[string]unended)
	}
	r.unended[name] = unended{id, until}
}

// MayRun returns the call under the name whose end is not known and how long it may run; id is "" if there is none.
func (r *Running) MayRun(name string) (id string, left time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	u, ok := r.unended[name]
	if !ok {
		return "", 0
	}
	if left = time.Until(u.until); left <= 0 {
		return "", 0
	}
	return u.id, left
}
