package redisstore

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// watchEvery is how often Watch looks.
const watchEvery = 15 * time.Second

// NoEviction is the maxmemory-policy under which a store forgets nothing before its time.
const NoEviction = "noeviction"

// Inspection is a store's answer about how it evicts.
type Inspection struct {
	Policy  string // its maxmemory-policy
	Evicted uint64 // keys, since it was started
	// Err says why it does not tell, such as a user without the right to ask INFO.
	Err error
}

// Watch asks the store until ctx ends whether it can be read and written, so that this is known where nobody calls, and
// whether it evicts.
func (s *Store) Watch(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		s.look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-s.closed:
			return
		case <-tick.C:
		}
	}
}

func (s *Store) look(ctx context.Context) {
	asked, cancel, err := s.question(ctx)
	if err != nil {
		return // probe asks it
	}
	defer cancel()
	read, write := s.ask(asked)
	if s.read(ctx, read) != nil {
		return
	}
	_ = s.written(ctx, write)
	node, err := s.node(asked)
	if err != nil {
		return
	}
	var text string
	for _, section := range []string{"memory", "stats"} { // Redis before 7 takes one at a time
		part, err := node.Info(asked, section).Result()
		if err != nil {
			s.inspected(Inspection{Err: err})
			return
		}
		text += part
	}
	s.inspected(inspection(text))
}

// inspection reads what INFO answered.
func inspection(info string) (found Inspection) {
	evicted := "absent"
	for line := range strings.Lines(info) {
		switch name, value, _ := strings.Cut(strings.TrimSpace(line), ":"); name {
		case "maxmemory_policy":
			found.Policy = value
		case "evicted_keys":
			evicted = value
		}
	}
	var err error
	if found.Evicted, err = strconv.ParseUint(evicted, 10, 64); err != nil || found.Policy == "" {
		return Inspection{Err: fmt.Errorf("INFO tells maxmemory_policy %q and evicted_keys %q", found.Policy, evicted)}
	}
	return found
}

// node is the one server that has everything of ours: what is not asked of a key would go to any node of a Cluster.
func (c *conn) node(ctx context.Context) (redis.Cmdable, error) {
	if cluster, ok := c.client.(*redis.ClusterClient); ok {
		return cluster.MasterForKey(ctx, c.prefix)
	}
	return c.client, nil
}
