package guard

import "sync"

// Running knows which calls run in this process, by a name that says what they do. It outlives
// configurations. The zero Running is ready.
type Running struct {
	mu     sync.Mutex
	byName map[string]string
}

// Begin notes that the call with id runs under the name, unless another does; then it gives that one's id.
func (r *Running) Begin(name, id string) (other string) {
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

// End notes that the call which runs under the name is over.
func (r *Running) End(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.byName, name)
}
